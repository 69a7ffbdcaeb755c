"""dnsmasq by hand: started with what refnet starts it with, and told of hosts in two other ways."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

#: Seconds that a server may take for anything, and between two looks at its log.
_LIMIT, _PAUSE = 60.0, 0.001


class Bare:
    """A dnsmasq with a copy of a directory that refnet's has."""

    def __init__(self, arguments: list[str], environment: list[str], original: Path, copy: Path) -> None:
        """Copy the directory, and put the copy into the arguments."""
        self._original, self._copy = str(original), str(copy)
        shutil.copytree(original, copy)
        self._arguments = [one.replace(self._original, self._copy) for one in arguments]
        self._environment = dict(one.split("=", 1) for one in environment)
        self._log, self._pid = copy / "log", copy / "pid"
        self._hosts, self._names, self._last = copy / "hosts", copy / "names", copy / "options"
        self._lines = self._hosts.read_text().splitlines(), self._names.read_text().splitlines()

    def start(self) -> None:
        """Start it, and return when it has read its files."""
        # refnet's log is anybody's: dnsmasq writes on to it as the user that it becomes.
        self._log.write_text("")
        subprocess.run(self._arguments, env=self._environment, check=True, capture_output=True)
        self._wait(0, self._last)

    def stop(self) -> None:
        """End it, and return when it has ended."""
        pid = int(self._pid.read_text())
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PIDFD, handle, os.WEXITED) if _is_child(pid) else _until_gone(pid)
        finally:
            os.close(handle)

    def add_file(self, mac: str, address: str, name: str) -> None:
        """Have it know a host more by a file of its own, which it reads at once: the least that can be done."""
        offset = self._log.stat().st_size
        self._replace(Path(self._copy) / "names.d" / name, f"{address} {name}.example.org {name}\n")
        added = Path(self._copy) / "hosts.d" / name
        self._replace(added, f"{mac},{address},{name}\n")
        self._wait(offset, added)

    def rewrite(self, mac: str, address: str, name: str) -> None:
        """Have it know a host more as Nova does: all hosts are written again, and it is told to read them (SIGHUP)."""
        offset = self._log.stat().st_size
        hosts, names = self._lines
        hosts.append(f"{mac},{address},{name}")
        names.append(f"{address} {name}.example.org {name}")
        self._hosts.write_text("\n".join(hosts) + "\n")
        self._names.write_text("\n".join(names) + "\n")
        os.kill(int(self._pid.read_text()), signal.SIGHUP)
        self._wait(offset, self._last)

    def _replace(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(text)
        temporary.rename(path)

    def _wait(self, offset: int, path: Path) -> None:
        """Wait until the log says, behind an offset, that a file was read."""
        deadline, wanted, said = time.monotonic() + _LIMIT, f"read {path}\n".encode(), b""
        with self._log.open("rb") as log:
            log.seek(offset)
            while wanted not in said:
                said += log.read()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"dnsmasq did not read {path}")
                time.sleep(_PAUSE)


def _is_child(pid: int) -> bool:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + _LIMIT
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not end")
        time.sleep(_PAUSE)
