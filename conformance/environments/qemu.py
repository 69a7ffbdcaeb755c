"""A virtual machine under QEMU that lives as long as a context, and never longer than the process that started it.

Its disks are never written to, its console is kept in a file, and the one way in is a TCP port of the loopback that
leads to the guest's port 22. KVM is used where a boot of this very image has shown that it works; ``/dev/kvm`` alone
shows nothing: inside other virtual machines it may be there and run no guest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from conformance.environments import kvm
from conformance.errors import EnvironmentUnavailable
from conformance.topology import namespaces

#: By the host's: QEMU's program, the Debian package that brings it, QEMU's machine, Linux's name of the console.
_ARCHITECTURES = {
    "x86_64": ("qemu-system-x86_64", "qemu-system-x86", "pc", "ttyS0"),
    "aarch64": ("qemu-system-aarch64", "qemu-system-arm", "virt", "ttyAMA0"),
}
#: Seconds for a guest to be ready, and for one that is to show that KVM works (under emulation it takes ten).
BOOT_LIMIT = 120.0
PROBE_LIMIT = 20.0
#: Emulation gains nothing from more processors than there are, and the suite little from more than these.
_MOST_PROCESSORS = 4
_PORT_TRIES = 5
_GRACE = 15.0
#: Of what QEMU and the console say: the lines that are shown, and the bytes at the end in which they are looked for.
_WORDS = 15
_MOST_READ = 64 * 1024
_PREFIX = "refnet-vm-"
#: What terminals obey and people cannot read: firmware and kernels write it to consoles.
_CONTROL = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[c()>=][0-9A-Z]?)|[^\n\t\x20-\x7e\x80-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Guest:
    """What is to be booted, and what shows that it is up."""

    disk: Path
    #: What the console says when the guest is ready.
    ready: str
    #: Tells apart what has been learnt about KVM and this guest.
    key: str
    disk_format: str = "raw"
    #: A kernel that QEMU loads itself, with its initramfs and arguments; without one the disk has to boot.
    kernel: Path | None = None
    initrd: Path | None = None
    arguments: str = ""
    #: Bytes of a second disk.
    seed: bytes = b""
    memory: int = 1024


@dataclass(frozen=True, slots=True)
class Host:
    """How this host runs it."""

    program: str
    machine: str
    accelerator: str
    processors: int
    port: int
    #: The file that gets what the guest writes to its first serial port.
    console: Path
    seed: Path | None = None


def command(guest: Guest, host: Host) -> list[str]:
    """Return QEMU's command line."""
    words = [host.program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]
    words += ["-machine", host.machine, "-smp", str(host.processors), "-m", str(guest.memory)]
    words += ["-accel", "tcg,thread=multi" if host.accelerator == "tcg" else host.accelerator]
    if host.accelerator == "kvm":
        words += ["-cpu", "host"]
    elif host.machine == "virt":
        words += ["-cpu", "max"]
    words += ["-chardev", f"file,id=console,path={_escaped(host.console)}", "-serial", "chardev:console"]
    if guest.kernel is not None:
        words += ["-kernel", str(guest.kernel), "-append", guest.arguments]
    if guest.initrd is not None:
        words += ["-initrd", str(guest.initrd)]
    # What the guest writes goes to an unlinked file in TMPDIR.
    words += ["-drive", f"file={_escaped(guest.disk)},format={guest.disk_format},if=virtio,snapshot=on"]
    if host.seed is not None:
        words += ["-drive", f"file={_escaped(host.seed)},format=raw,if=virtio,readonly=on"]
    # restrict: the guest reaches nothing; it is reached through the one port.
    words += ["-netdev", f"user,id=way-in,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{host.port}-:22"]
    words += ["-device", "virtio-net-pci,netdev=way-in,romfile=", "-device", "virtio-rng-pci"]
    return words


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _architecture() -> tuple[str, str, str, str]:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise EnvironmentUnavailable(
            f"no virtual machine of refnet's runs on {machine}: expected one of {', '.join(sorted(_ARCHITECTURES))}"
        )
    return _ARCHITECTURES[machine]


def serial_console() -> str:
    """Return Linux's name of the first serial port, for ``console=``."""
    return _architecture()[3]


def missing() -> list[str]:
    """Return what this host lacks to run a virtual machine, each with the way to get it."""
    try:
        program, package, _, _ = _architecture()
    except EnvironmentUnavailable as unavailable:
        return [str(unavailable)]
    if shutil.which(program) is None:
        return [f"{program} is missing: 'apt-get install --no-install-recommends {package}' brings it"]
    return []


def version() -> str:
    """Return QEMU's version, or "" if it does not tell."""
    try:
        said = subprocess.run([_architecture()[0], "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""


# -- a folder that the next run removes if this one cannot ------------------------------------------------------------


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for what a machine needs and leaves, after removing those of processes that have died.

    Raises:
        OSError: it cannot be made.
    """
    _sweep()
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (path / "owner").exists():  # a sweep may have come before the lock
                break
        os.close(lock)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _sweep() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if path.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


# -- the machine ------------------------------------------------------------------------------------------------------


class _Kept:
    """A program that gets SIGKILL when this process dies.

    The kernel sends that signal when the *thread* dies that started the program, so one is kept for it.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, argv: list[str], folder: Path) -> None:
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


class Machine:
    """A guest that runs for the length of the context.

    Attributes:
        port: the TCP port of 127.0.0.1 that leads to the guest's port 22.
        log: the file with what the guest has written to its console.
        accelerator: ``kvm`` or ``tcg``.
        why_not_kvm: in words; "" where it is used.
    """

    port: int

    def __init__(
        self, guest: Guest, folder: Path, say: Callable[[str], None] = lambda _: None, log_to: Path | None = None
    ) -> None:
        """Take note of it: a folder for its files, and where the console's log is to be if not in there."""
        self.guest = guest
        self.folder = folder
        self.log = log_to.absolute() if log_to else folder / "console.log"
        self.accelerator = ""
        self.why_not_kvm = ""
        self._say = say
        self._kept: _Kept | None = None
        self._end_words = ""

    def __enter__(self) -> Machine:
        """Boot it and wait until it says that it is ready.

        Raises:
            EnvironmentUnavailable: it cannot be started, or was not ready in time; with the console's last lines.
        """
        lacking = missing()
        if lacking:
            raise EnvironmentUnavailable("; ".join(lacking))
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            if self.guest.seed:
                (self.folder / "seed").write_bytes(self.guest.seed)
            self._boot()
        except OSError as error:
            self._end()
            raise EnvironmentUnavailable(f"the virtual machine's files cannot be written: {error}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._end_words = self.last_words()
        self._end()

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        assert self._kept is not None, "only while it runs"
        return self._kept.process.pid

    def is_alive(self) -> bool:
        """Tell whether QEMU runs, which does not tell whether the guest does."""
        return self._kept is not None and self._kept.process.poll() is None

    def last_words(self) -> str:
        """Return how QEMU fares or how it ended, and the end of the console."""
        if self._end_words or self._kept is None:
            return self._end_words
        return f"{self._state()}; {self._console()}"

    def _boot(self) -> None:
        reason = kvm.why_not(self.guest.key, version())
        if not reason:
            learning = reason is None
            if learning:
                self._say(f"trying KVM with this guest, {PROBE_LIMIT:.0f} s at most (asked once per boot of this host)")
            reason = self._try("kvm", PROBE_LIMIT if learning else BOOT_LIMIT)
            if learning:
                kvm.remember(self.guest.key, version(), reason.partition("\n")[0])
            elif reason:
                kvm.forget(self.guest.key)
            if not reason:
                return
        self.why_not_kvm = reason.partition("\n")[0]
        failure = self._try("tcg", BOOT_LIMIT)
        if failure:
            raise EnvironmentUnavailable(f"the virtual machine did not get ready: {failure}")

    def _try(self, accelerator: str, limit: float) -> str:
        """Boot with one accelerator and return "" when the guest is ready, else why it is not; then nothing runs."""
        program, _, machine, _ = _architecture()
        self.accelerator = accelerator
        for attempt in range(_PORT_TRIES):
            self.port = _free_port()
            seed = self.folder / "seed" if self.guest.seed else None
            host = Host(program, machine, accelerator, _processors(), self.port, self.log, seed)
            self.log.write_bytes(b"")
            try:
                self._kept = _Kept(command(self.guest, host), self.folder)
            except OSError as error:
                return f"{program} cannot be started: {error}"
            failure = self._wait(limit)
            # The port was free a moment ago: somebody else may have been quicker.
            if "host forwarding rule" not in failure or attempt == _PORT_TRIES - 1:
                return failure
        raise AssertionError("not reached")

    def _wait(self, limit: float) -> str:
        deadline = time.monotonic() + limit
        while self.guest.ready not in self.log.read_text(errors="replace"):
            assert self._kept is not None
            if self._kept.process.poll() is not None:
                return f"{self._state()}; {self._console()}"
            if time.monotonic() > deadline:
                words = f"no guest was up within {limit:.0f} s; {self._console()}"
                self._kept.end()
                return words
            time.sleep(0.05)
        return ""

    def _end(self) -> None:
        if self._kept is not None:
            self._kept.end()

    def _state(self) -> str:
        assert self._kept is not None
        status = self._kept.process.poll()
        if status is None:
            return f"QEMU still runs (process {self.pid})"
        said = _readable(self._kept.words).strip()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"QEMU {how}" + (f" and said: {said}" if said else "")

    def _console(self) -> str:
        lines = [line for line in _readable(self.log).splitlines() if line.strip()][-_WORDS:]
        return "the console's end:\n" + "\n".join(f"  {line}" for line in lines) if lines else "the console is empty"


def _readable(path: Path) -> str:
    """Return the end of a file in what people can read: a guest may have filled its console without end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_READ))
            end = file.read(_MOST_READ)
    except OSError:
        return ""
    return _CONTROL.sub("", end.decode(errors="replace").replace("\r\n", "\n"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSORS)
