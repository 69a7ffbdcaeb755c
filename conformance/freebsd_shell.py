"""Starts the suite's own programs on FreeBSD; nothing is shared with the drivers that are judged.

They are started by a shell that each process keeps: a shell is small, and to fork is cheap for it. A Python with pytest
in it has a hundred times the memory, and where the processor is emulated its fork takes longer than the program.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import time
from collections.abc import Sequence

from conformance.errors import SuiteError

#: Seconds for one of them: in an emulated machine, a hundred times what it takes.
_LIMIT = 60.0
#: Where FreeBSD has them; ssh servers do not all say so.
SYSTEM_PATH = ("/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
#: Between what a program prints and what the shell says of its end: a byte that no program of these prints.
_MARK = b"\x1e"
_END_OF_INPUT = "END OF THE INPUT THAT THE SUITE GIVES"


def environment() -> dict[str, str]:
    """Return the environment of programs: the C locale, and every place where the system has programs."""
    present = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join([*present, *(entry for entry in SYSTEM_PATH if entry not in present)])
    return {**os.environ, "LC_ALL": "C", "PATH": path}


def run(argv: Sequence[str], *, stdin: str | None = None, missing: Sequence[str] = (), check: bool = True) -> str:
    """Run a program and return what it printed; nothing if it says one of the words of ``missing``.

    Raises:
        SuiteError: it failed; scaffolding that cannot be built is no verdict on anybody.
    """
    # Of what it is given, nothing is evaluated.
    given = f"<<'{_END_OF_INPUT}'\n{stdin}\n{_END_OF_INPUT}\n" if stdin is not None else "</dev/null\n"
    status, output, errors = _shell().run(f"{shlex.join(argv)} {given}", " ".join(argv))
    if status and check:
        if any(words in errors for words in missing):
            return ""
        shown = f" (its input: {stdin!r})" if stdin else ""
        raise SuiteError(f"the suite's own {' '.join(argv)} failed: {errors.strip()}{shown}")
    return output


def script(*lines: str, check: bool = True) -> str:
    """Run lines of the suite's own, up to the first that fails (``check`` False: all), and return what they printed.

    Raises:
        SuiteError: one of them failed.
    """
    if not lines:
        return ""
    text = "\n".join(["(", "set -e" if check else "set +e", *lines, ") </dev/null", ""])
    status, output, errors = _shell().run(text, "script")
    if status and check:
        raise SuiteError(f"the suite's own script {'; '.join(lines)!r} failed: {errors.strip()}")
    return output


def own_shell() -> int:
    """Return the number of the shell that this process keeps."""
    return _shell().process.pid


class _Shell:
    """A shell that runs one thing after the other."""

    def __init__(self) -> None:
        """Start it."""
        self.owner = os.getpid()
        try:
            self.process = subprocess.Popen(
                ["sh"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                bufsize=0,
            )
        except OSError as error:
            raise SuiteError(f"no shell can be started: {error}") from None

    def run(self, text: str, what: str) -> tuple[int, str, str]:
        """Run whole lines, and return the exit status and both outputs."""
        assert self.process.stdin is not None
        try:
            # Both outputs are read up to their marks.
            self.process.stdin.write(f"{text}printf '\\036%d\\036' $?\nprintf '\\036' >&2\n".encode())
            output, errors = self._read(what)
        except BaseException:
            # A shell in the middle of something is of no more use.
            self.end()
            raise
        printed, status, _ = output.split(_MARK)
        return int(status), printed.decode(errors="replace"), errors.rstrip(_MARK).decode(errors="replace")

    def _read(self, what: str) -> tuple[bytes, bytes]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # Of how many marks each output has the last at its end.
        wanted = {self.process.stdout.fileno(): 2, self.process.stderr.fileno(): 1}
        seen = dict.fromkeys(wanted, b"")
        deadline = time.monotonic() + _LIMIT
        while True:
            waiting = [number for number, marks in wanted.items() if seen[number].count(_MARK) < marks]
            if not waiting:
                return seen[self.process.stdout.fileno()], seen[self.process.stderr.fileno()]
            ready, _, _ = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))
            parts = {number: os.read(number, 1 << 16) for number in ready}
            if not parts or not all(parts.values()):
                how = "ended its shell" if parts else f"did not end within {_LIMIT:g} s"
                raise SuiteError(f"the suite's own {what} {how}")
            for number, part in parts.items():
                seen[number] += part

    def end(self) -> None:
        """Stop the shell, if it is this process's own, and forget it."""
        global _kept
        _kept = None
        if self.owner == os.getpid():
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self.owner == os.getpid():
            self.process.wait()


_kept: _Shell | None = None


def _shell() -> _Shell:
    """Return the shell of this process: another one's is in another jail, or busy."""
    global _kept
    if _kept is not None and _kept.owner != os.getpid():
        with contextlib.suppress(OSError):
            _kept.end()
    if _kept is None or _kept.process.poll() is not None:
        _kept = _Shell()
    return _kept
