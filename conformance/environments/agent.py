"""The program that the launcher starts in an environment: the only thing of the suite that is there beforehand.

It needs nothing but the standard library of Python 3.10, and arrives through its own standard input
(:data:`conformance.launcher.BOOTSTRAP`), followed by

* a line of JSON: ``command`` (None in it: this Python), its ``environment``, and the ``bundle``'s size;
* the bundle, a tar file of Python packages, which is unpacked into a temporary directory and put on ``PYTHONPATH``;
* from then on single bytes: ``i`` is Ctrl-C for the command. The end of the input means that the launcher is gone.

It answers with events, one line of JSON each, on standard output: those that the command writes to the descriptor in
``{journal}``, a sign of life now and then, and at last ``end`` with the command's exit status, or ``refused`` with
words. What the command prints goes to standard error. However it ends, the command and the directory end with it; what
a killed agent has left is removed by the next one.

A small Python will do: without ctypes, ssl, bz2, lzma or sqlite3.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import zlib
from typing import Any, NoReturn

PREFIX = "refnet-conformance-agent-"
#: Seconds between two signs of life.
HEARTBEAT = 5.0
#: Seconds for the last events of a command that has ended.
DRAIN = 10.0

_output = threading.Lock()


class Agent:
    """One command, and the directory that it has been given."""

    def __init__(self) -> None:
        """Make the directory. Its lock is held as long as this process lives: one whose lock is free is nobody's."""
        self.child: subprocess.Popen[bytes] | None = None
        self.watch = -1
        self.directory = tempfile.mkdtemp(prefix=PREFIX)
        # What runs without privilege there may still have something to import.
        os.chmod(self.directory, 0o711)  # noqa: S103 - to search, not to list
        name = os.path.join(self.directory, "lock")
        lock = os.open(name + ".new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(name + ".new", name)

    def run(self, header: dict[str, Any]) -> int:
        """Unpack, start the command, pass its events on, and return its exit status."""
        environment = {**os.environ, **header["environment"]}
        if header["bundle"]:
            packages = os.path.join(self.directory, "packages")
            unpack(header["bundle"], packages)
            environment["PYTHONPATH"] = packages
            for name in ("PYTHONHOME", "PYTHONDONTWRITEBYTECODE"):
                environment.pop(name, None)
        reading, writing = os.pipe()
        self.child = subprocess.Popen(
            [sys.executable if word is None else word.replace("{journal}", str(writing)) for word in header["command"]],
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            pass_fds=[writing],
            env=environment,
            cwd=self.directory,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        if sys.platform != "linux":
            self.guard([reading, writing])
        os.close(writing)
        threading.Thread(target=self.obey, daemon=True).start()
        threading.Thread(target=live, daemon=True).start()
        passing = threading.Thread(target=pass_on, args=(reading,), daemon=True)
        passing.start()
        status = self.child.wait()
        self.send(signal.SIGKILL)  # what it has left behind in its session
        passing.join(DRAIN)
        return status if status >= 0 else 128 - status

    def guard(self, not_needed: list[int]) -> None:
        """Leave a process behind that ends the command and removes the directory, should this one be killed.

        FreeBSD's kernel would kill the command itself, but is told so by procctl(2) only, which takes ctypes.
        """
        assert self.child is not None
        watched, self.watch = os.pipe()
        if os.fork():
            os.close(watched)
            return
        # In a session of its own: what ends an ssh connection does not end it.
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # whoever waits for the end of the agent's outputs is not to wait for this process
            os.dup2(nothing, stream)
        for descriptor in (self.watch, nothing, *not_needed):
            os.close(descriptor)
        # A byte: the agent has ended everything itself. The end: it cannot any more.
        if not os.read(watched, 1):
            self.leave(1)
        os._exit(0)

    def obey(self) -> None:
        """Wait for what the launcher says; when it is gone, end everything."""
        while True:
            byte = sys.stdin.buffer.read(1)
            if not byte:
                self.leave(1)
            if byte == b"i":
                self.send(signal.SIGINT)

    def send(self, number: int) -> None:
        """Send a signal to the command and all that is in its session."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, number)

    def leave(self, status: int) -> NoReturn:
        """End the command, remove the directory and end the process, from whichever thread."""
        self.send(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.watch >= 0:
            with contextlib.suppress(OSError):
                os.write(self.watch, b".")
        os._exit(status)


def main() -> None:
    """Do what the input says, and end the process."""
    # Ctrl-C comes by the input; a terminal's would end the agent before the command.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    header = json.loads(sys.stdin.buffer.readline())
    sweep()
    try:
        agent = Agent()
    except OSError as error:
        tell({"event": "refused", "words": explain(error, tempfile.gettempdir())})
        sys.exit(1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: agent.leave(1))
    try:
        status = agent.run(header)
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        tell({"event": "refused", "words": explain(error, agent.directory)})
        agent.leave(1)
    tell({"event": "end", "status": status})
    agent.leave(0)


def sweep() -> None:
    """Remove the directories that killed agents of this user have left."""
    for stale in glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), PREFIX + "*")):
        with contextlib.suppress(OSError):
            lock = os.open(os.path.join(stale, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(stale, ignore_errors=True)
            finally:
                os.close(lock)


def unpack(size: int, target: str) -> None:
    """Unpack the bundle as it comes; what it has is regular files below the target, and they take all the room."""
    incoming = io.BufferedReader(Incoming(size))
    with tarfile.open(fileobj=incoming, mode="r|gz") as archive:
        for member in archive:
            path = os.path.join(target, member.name)
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or not os.path.realpath(path).startswith(os.path.realpath(target) + os.sep):
                raise OSError(f"the bundle has {member.name!r}, which is no file below it")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as written:
                shutil.copyfileobj(content, written)
            os.utime(path, (member.mtime, member.mtime))
    while incoming.read(1 << 16):
        pass


class Incoming(io.RawIOBase):
    """The next bytes of the input, so many and no more."""

    def __init__(self, size: int) -> None:
        """Take note of how many."""
        self.left = size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for, nothing at the end."""
        data = sys.stdin.buffer.read(min(len(buffer), self.left))
        if self.left and not data:
            raise OSError("the launcher was gone before all had arrived")
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)


def explain(error: Exception, place: str) -> str:
    """Return an error's words, and if room is what is lacking, how much there is and how to have more."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    room = ""
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(place)
        room = f" ({usage.free >> 20} of {usage.total >> 20} MiB are free)"
    return (
        f"{error}: there is too little room in {os.path.dirname(place)}{room}; "
        "make room, or have TMPDIR name another place for those who log in there"
    )


def die_with_parent() -> None:
    """Have the kernel kill this process when the agent is killed, where the kernel can: prctl(2), PR_SET_PDEATHSIG."""
    if sys.platform == "linux":
        import ctypes  # which a small Python on another system may lack

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def live() -> None:
    """Give signs of life: a guest that hangs gives none."""
    pause = threading.Event()
    while not pause.wait(HEARTBEAT):
        tell({"event": "alive"})


def pass_on(reading: int) -> None:
    """Pass the command's events on, line by line."""
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            write(line)


def tell(event: dict[str, Any]) -> None:
    """Write an event of the agent's own."""
    write(json.dumps(event).encode() + b"\n")


def write(line: bytes) -> None:
    """Write a whole line; a launcher that is gone is seen by the closed input, not here."""
    with _output, contextlib.suppress(OSError):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
