"""What is known about KVM on this host: only a guest that has booted shows that it works."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from conformance.environments import images


def why_not(guest: str, qemu: str) -> str | None:
    """Return why KVM is not to be used for a guest; "" if it is; None if only a boot can tell.

    What a boot has shown holds until this host boots anew, or QEMU's version changes.
    """
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "this user may not open /dev/kvm: the group kvm may"
    try:
        known = json.loads(_file(guest).read_text())
        return str(known["words"]) if known["on"] == _here(qemu) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def words(guest: str, qemu: str) -> str:
    """Return what is known, for a list of environments."""
    reason = why_not(guest, qemu)
    return {None: "KVM not tried yet", "": "KVM"}.get(reason, f"emulation ({reason})")


def remember(guest: str, qemu: str, words: str) -> None:
    """Keep what a boot has shown: why KVM is not to be used, or ""."""
    path = _file(guest)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="kvm-new-", delete=False) as file:
            json.dump({"on": _here(qemu), "words": words}, file)
        os.replace(file.name, path)


def forget(guest: str) -> None:
    """Have the next boot find out again."""
    with contextlib.suppress(OSError):
        _file(guest).unlink()


def _file(guest: str) -> Path:
    return images.cache_directory() / f"kvm-{guest}.json"


def _here(qemu: str) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{boot} {qemu}"
