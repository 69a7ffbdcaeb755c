"""The only place in refnet that starts a program.

Argument lists, never a shell; the C locale, so that what a tool says can be recognised; a time limit, always.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from refnet.errors import CommandFailed, InvalidArgument, KernelRefused, PermissionDenied, ToolMissing

#: Seconds that a program gets unless its caller says otherwise.
DEFAULT_TIME_LIMIT = 60.0
#: Seconds to go on reading what a killed program has printed: somebody who left its process group may hold its outputs.
_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind: its argument list, exit status, and both outputs as text."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    expect: Collection[int] = (0,),
    keep: Collection[int] = (),
) -> Completed:
    """Run ``argv`` to its end and return what it printed.

    ``stdin`` is given to it as text (nothing: ``/dev/null``), ``time_limit`` is in seconds, ``expect`` holds the exit
    statuses that are no error, ``keep`` the descriptors that the program inherits.

    Raises:
        ToolMissing: there is no such program on ``PATH``.
        PermissionDenied: the file is there and may not be executed.
        KernelRefused: the system cannot start it: no program's format, too many arguments, no memory.
        InvalidArgument: an argument has a character that no argument can have.
        CommandFailed: another exit status, or not ended in time (it and its process group have then been killed).
    """
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
            pass_fds=tuple(keep),
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            f"the program {argv[0]!r} is not installed (or not on PATH): install the package that has it",
            tool=argv[0],
            errno=error.errno,
        ) from None
    except PermissionError as error:
        raise PermissionDenied(f"the program {argv[0]!r} may not be executed", errno=error.errno) from None
    except OSError as error:
        raise KernelRefused(
            f"the program {argv[0]!r} cannot be started: {error.strerror}", errno=error.errno, detail=error.strerror
        ) from None
    except ValueError as error:
        raise InvalidArgument(f"the program {argv[0]!r} cannot be given these arguments: {error}") from None
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=time_limit)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            stdout, stderr = _last_words(process)
            raise CommandFailed(argv, None, stdout, stderr, time_limit=time_limit) from None
        except BaseException:  # KeyboardInterrupt among others: no program outlives its call
            _kill_group(process)
            raise
    if process.returncode not in expect:
        raise CommandFailed(argv, process.returncode, stdout, stderr)
    return Completed(tuple(argv), process.returncode, stdout, stderr)


def _last_words(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired as expired:
        # What was read so far comes as bytes here, whatever the encoding.
        stdout, stderr = (data or b"" for data in (expired.stdout, expired.stderr))
        return _text(stdout), _text(stderr)


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode(errors="backslashreplace")


def _kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        process.kill()
