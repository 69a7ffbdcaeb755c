"""A program that never outlives this process, and what files it leaves say to people."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

from conformance.topology.linux import namespaces

#: Seconds for a program that was killed to be gone.
_GRACE = 15.0
#: Bytes at a file's end that are read.
_MOST_READ = 64 * 1024
#: What terminals obey and people cannot read: firmware and kernels write it to consoles, and loaders turn a bar there.
_CONTROL = re.compile(r"[^\n]\x08|\x1b(\[[0-9;?=]*[A-Za-z]|[c()>=][0-9A-Z]?)|[^\n\t\x20-\x7e\x80-\U0010ffff]")


class Kept:
    """A program that gets SIGKILL when this process dies.

    The kernel sends that signal when the *thread* dies that started the program, so one is kept for it.

    Attributes:
        words: the file with what it writes to both of its outputs.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, argv: list[str], folder: Path) -> None:
        """Start it in a folder, which is also the place for its temporary files.

        Raises:
            OSError: it cannot be started.
        """
        self._failure: OSError | None = None
        self._started = threading.Event()
        self.words = folder / "qemu.stderr"
        threading.Thread(target=self._keep, args=(argv, folder), daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _keep(self, argv: list[str], folder: Path) -> None:
        try:
            with self.words.open("wb") as words:
                self.process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    env={**os.environ, "TMPDIR": str(folder)},
                    cwd=folder,  # should it leave a core
                    start_new_session=True,  # Ctrl-C is for the launcher
                    preexec_fn=namespaces.die_with_parent,
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self.process.wait()

    def end(self) -> None:
        """Kill it: it has nothing to save."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)


def readable(path: Path) -> str:
    """Return the end of a file in what people can read: a guest may have filled its console without end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_READ))
            end = file.read(_MOST_READ)
    except OSError:
        return ""
    return _CONTROL.sub("", end.decode(errors="replace").replace("\r\n", "\n"))
