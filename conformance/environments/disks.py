"""What a file that is given as a virtual machine's disk is, told by its first bytes: names prove nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_SECTOR = 512
#: Where a boot record has its mark, and the mark: without it a BIOS boots no disk.
_BOOT_MARK = (510, b"\x55\xaa")
_QCOW2 = b"QFI\xfb"
_EXPECTED = "expected a whole disk that boots by BIOS, raw or qcow2"
#: First bytes of what people download and QEMU is not given here, what it is, and what makes a disk of it.
_OTHERS = {
    b"\xfd7zXZ\0": ("compressed by xz", "xz --decompress --keep"),
    b"\x1f\x8b": ("compressed by gzip", "gunzip --keep"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unzstd"),
    b"BZh": ("compressed by bzip2", "bunzip2 --keep"),
    b"PK\3\4": ("a zip archive", "unzip"),
    b"KDMV": ("a disk of VMware's", "qemu-img convert -O qcow2"),
    b"# Disk DescriptorFile": ("the description of a disk of VMware's", "qemu-img convert -O qcow2"),
    b"vhdxfile": ("a disk of Hyper-V's", "qemu-img convert -O qcow2"),
    b"conectix": ("a disk of Virtual PC's", "qemu-img convert -O qcow2"),
    b"<<< Oracle VM VirtualBox Disk Image": ("a disk of VirtualBox's", "qemu-img convert -O qcow2"),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that QEMU can be given."""

    path: Path
    #: ``raw`` or ``qcow2``.
    format: str
    #: Tells it from other disks and from other states of this one, without reading all of it.
    key: str


def look(given: Path) -> Disk:
    """Return what a file is as a disk.

    Raises:
        ValueError: it is none, or cannot be read; the message says what it is and what to do.
    """
    wrong = f"--disk {given}"
    try:
        path = given.resolve(strict=True)
        # Whoever opens a pipe or a terminal would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            about = os.fstat(descriptor)
            if not (stat.S_ISREG(about.st_mode) or stat.S_ISBLK(about.st_mode)):
                what = "a directory" if stat.S_ISDIR(about.st_mode) else "no regular file"
                raise ValueError(f"{wrong}: it is {what}; {_EXPECTED}")
            start = os.read(descriptor, _SECTOR)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ValueError(f"{wrong}: there is no such file") from None
    except PermissionError:
        raise ValueError(f"{wrong}: this user may not read it") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links, before Python 3.13
        raise ValueError(f"{wrong}: it cannot be read: {error}") from None
    if not start:
        raise ValueError(f"{wrong}: it is empty; {_EXPECTED}")
    for magic, (what, command) in _OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f"{wrong}: it is {what}, which QEMU is not given here: '{command}' makes a disk of it")
    identity = f"{path}\0{about.st_size}\0{about.st_mtime_ns}"
    key = f"disk-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]}"
    if start.startswith(_QCOW2):
        return Disk(path, "qcow2", key)
    place, mark = _BOOT_MARK
    if start[place : place + len(mark)] != mark:
        raise ValueError(
            f"{wrong}: its first sector is no boot record (it does not end in 55 AA), so a BIOS boots nothing from it; "
            f"{_EXPECTED}"
        )
    return Disk(path, "raw", key)
