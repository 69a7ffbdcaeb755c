"""How FreeBSD is booted under QEMU, and what its console says when that leads nowhere."""

from __future__ import annotations

from pathlib import Path

from conformance.environments import qemu
from conformance.environments.login import Login

#: FreeBSD's name of it is amd64; another processor than this host's is emulated.
ARCHITECTURE = "x86_64"
#: Seconds: FreeBSD 14 is up in 15 where two quiet processors emulate it; a busy host takes a multiple.
BOOT_LIMIT = 300.0
#: Seconds for a boot that is to show that KVM works, and for its console to be silent: one that counts down is not.
_PROBE_LIMIT, _PROBE_SILENCE = 60.0, 12.0
_HOPELESS = {
    "No bootable device": "the disk does not boot by BIOS: it has no boot loader, or one for UEFI only",
    "BTX halted": "FreeBSD's boot loader has crashed",
    "mountroot>": "FreeBSD does not find its root: /etc/fstab has to name it by label, or as /dev/vtbd0…",
    "Enter full pathname of shell": "FreeBSD went to single-user mode: its file systems or /etc/rc.conf need repair",
    "\npanic: ": "FreeBSD's kernel has panicked",
    "\ndb> ": "FreeBSD's kernel has stopped in its debugger",
}


def guest(
    disk: Path,
    disk_format: str,
    login: Login,
    key: str,
    *,
    memory: int,
    seed: bytes = b"",
    is_making: bool = False,
    patience: float = 1.0,
) -> qemu.Guest:
    """Return a guest that boots a disk, and is ready when its ssh server lets somebody in.

    Args:
        disk: the disk.
        disk_format: ``raw`` or ``qcow2``.
        login: the way in.
        key: tells apart what has been learnt about KVM and this guest.
        memory: in MiB.
        seed: bytes of a second disk.
        is_making: an image is made: the disk is written to, and the network is reached.
        patience: how many times longer than usual a boot may take.
    """
    return qemu.Guest(
        disk=disk,
        disk_format=disk_format,
        ready=login.opens,
        key=key,
        seed=seed,
        memory=memory,
        architecture=ARCHITECTURE,
        keeps=is_making,
        reaches_out=is_making,
        boot_limit=patience * BOOT_LIMIT,
        probe_limit=patience * _PROBE_LIMIT,
        probe_silence=patience * _PROBE_SILENCE,
        hopeless=_HOPELESS,
    )
