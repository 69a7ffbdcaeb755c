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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from conformance.environments import kvm
from conformance.environments.kept import Kept, readable
from conformance.errors import EnvironmentUnavailable

#: By the guest's: QEMU's program, the Debian package that brings it, QEMU's machine, Linux's name of the console.
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
#: Seconds between two looks at a guest that boots.
_LOOK = 0.05
#: Of the console the lines that are shown.
_WORDS = 15
_PREFIX = "refnet-vm-"


@dataclass(frozen=True, slots=True)
class Guest:
    """What is to be booted, and what shows that it is up."""

    disk: Path
    #: What the console says when the guest is ready; or a function that finds out, asked again and again.
    ready: str | Callable[[Machine], bool]
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
    #: Of its processor, as uname(1) has it; "": this host's. Another than this host's is emulated.
    architecture: str = ""
    #: Whether the disk itself is written to, and whether the guest reaches the world: for who makes an image.
    keeps: bool = False
    reaches_out: bool = False
    #: Seconds for it to be ready; None: :data:`BOOT_LIMIT`.
    boot_limit: float | None = None
    #: Seconds for it to show that KVM works, and how many of them the console may be silent; None: :data:`PROBE_LIMIT`.
    probe_limit: float | None = None
    probe_silence: float | None = None
    #: What a console says of a guest that will not get ready any more, and what that means.
    hopeless: Mapping[str, str] = field(default_factory=dict)


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
    # Without graphics SeaBIOS speaks through the serial port: "No bootable device." is for the log.
    machine = host.machine if guest.kernel is not None else f"{host.machine},graphics=off"
    words += ["-machine", machine, "-smp", str(host.processors), "-m", str(guest.memory)]
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
    snapshot = "off" if guest.keeps else "on"
    words += ["-drive", f"file={_escaped(guest.disk)},format={guest.disk_format},if=virtio,snapshot={snapshot}"]
    if host.seed is not None:
        words += ["-drive", f"file={_escaped(host.seed)},format=raw,if=virtio,readonly=on"]
    # restrict: the guest reaches nothing; it is reached through the one port.
    restrict = "off" if guest.reaches_out else "on"
    words += ["-netdev", f"user,id=way-in,restrict={restrict},ipv6=off,hostfwd=tcp:127.0.0.1:{host.port}-:22"]
    words += ["-device", "virtio-net-pci,netdev=way-in,romfile=", "-device", "virtio-rng-pci"]
    return words


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _architecture(machine: str = "") -> tuple[str, str, str, str]:
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise EnvironmentUnavailable(
            f"no virtual machine of refnet's runs on {machine}: expected one of {', '.join(sorted(_ARCHITECTURES))}"
        )
    return _ARCHITECTURES[machine]


def serial_console() -> str:
    """Return Linux's name of the first serial port, for ``console=``."""
    return _architecture()[3]


def missing(architecture: str = "") -> list[str]:
    """Return what this host lacks to run a virtual machine, each with the way to get it."""
    try:
        program, package, _, _ = _architecture(architecture)
    except EnvironmentUnavailable as unavailable:
        return [str(unavailable)]
    if shutil.which(program) is None:
        return [f"{program} is missing: 'apt-get install --no-install-recommends {package}' brings it"]
    return []


def version(architecture: str = "") -> str:
    """Return QEMU's version, or "" if it does not tell."""
    try:
        said = subprocess.run(
            [_architecture(architecture)[0], "--version"], capture_output=True, text=True, timeout=30
        ).stdout
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
        self._kept: Kept | None = None
        self._end_words = ""

    def __enter__(self) -> Machine:
        """Boot it and wait until it says that it is ready.

        Raises:
            EnvironmentUnavailable: it cannot be started, or was not ready in time; with the console's last lines.
        """
        lacking = missing(self.guest.architecture)
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
        guest = self.guest
        qemu = version(guest.architecture)
        limit = guest.boot_limit or BOOT_LIMIT
        reason = self._why_not_kvm(qemu)
        if not reason:
            learning = reason is None
            probe = guest.probe_limit or PROBE_LIMIT
            if learning:
                self._say(f"trying KVM with this guest, {probe:.0f} s at most (asked once per boot of this host)")
            reason = self._try("kvm", probe if learning else limit, guest.probe_silence if learning else None)
            if learning:
                # A guest that boots nowhere says nothing about KVM.
                if not self._hopeless():
                    kvm.remember(guest.key, qemu, reason.partition("\n")[0])
            elif reason:
                kvm.forget(guest.key)
            if not reason:
                return
        self.why_not_kvm = reason.partition("\n")[0]
        failure = self._try("tcg", limit)
        if failure:
            raise EnvironmentUnavailable(f"the virtual machine did not get ready: {failure}")

    def _why_not_kvm(self, qemu: str) -> str | None:
        if self.guest.architecture not in ("", platform.machine()):
            return f"this host's processor is {platform.machine()}, the guest's {self.guest.architecture}"
        return kvm.why_not(self.guest.key, qemu)

    def _try(self, accelerator: str, limit: float, silence: float | None = None) -> str:
        """Boot with one accelerator and return "" when the guest is ready, else why it is not; then nothing runs."""
        program, _, machine, _ = _architecture(self.guest.architecture)
        self.accelerator = accelerator
        for attempt in range(_PORT_TRIES):
            self.port = _free_port()
            seed = self.folder / "seed" if self.guest.seed else None
            host = Host(program, machine, accelerator, _processors(), self.port, self.log, seed)
            self.log.write_bytes(b"")
            try:
                self._kept = Kept(command(self.guest, host), self.folder)
            except OSError as error:
                return f"{program} cannot be started: {error}"
            failure = self._wait(limit, silence or limit)
            # The port was free a moment ago: somebody else may have been quicker.
            if "host forwarding rule" not in failure or attempt == _PORT_TRIES - 1:
                return failure
        raise AssertionError("not reached")

    def _wait(self, limit: float, silence: float) -> str:
        assert self._kept is not None
        now = time.monotonic()
        deadline = now + limit
        size, spoke = 0, now
        while not self._is_ready():
            now = time.monotonic()
            said = self.log.stat().st_size
            if said != size:
                size, spoke = said, now
            hopeless = self._hopeless()
            if self._kept.process.poll() is not None:
                return f"{self._state()}; {self._console()}"
            if hopeless or now > deadline or now - spoke > silence:
                limited = f"no guest was up within {limit:.0f} s"
                if now <= deadline:
                    limited = f"the console was silent for {silence:.0f} s"
                words = f"{hopeless or limited}; {self._console()}"
                self._kept.end()
                return words
            time.sleep(_LOOK)
        return ""

    def _is_ready(self) -> bool:
        ready = self.guest.ready
        return ready in self.log.read_text(errors="replace") if isinstance(ready, str) else ready(self)

    def _hopeless(self) -> str:
        if not self.guest.hopeless:
            return ""
        end = readable(self.log)
        return next((meaning for said, meaning in self.guest.hopeless.items() if said in end), "")

    def _end(self) -> None:
        if self._kept is not None:
            self._kept.end()

    def _state(self) -> str:
        assert self._kept is not None
        status = self._kept.process.poll()
        if status is None:
            return f"QEMU still runs (process {self.pid})"
        said = readable(self._kept.words).strip()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"QEMU {how}" + (f" and said: {said}" if said else "")

    def _console(self) -> str:
        lines = [line for line in readable(self.log).splitlines() if line.strip()][-_WORDS:]
        return "the console's end:\n" + "\n".join(f"  {line}" for line in lines) if lines else "the console is empty"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSORS)
