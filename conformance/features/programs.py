"""What programs of DHCP an environment has: servers that any backend could be made of, and real clients."""

from __future__ import annotations

import shutil


def lacking_server(path: str | None, package: str) -> str | None:
    """Return why there is no DHCP server to be run, if none of the programs that are known is on a PATH."""
    if shutil.which("dnsmasq", path=path):
        return None
    return f"no program that serves DHCP is installed: '{package}' brings dnsmasq"


def lacking_client(name: str, path: str | None, package: str) -> str | None:
    """Return why a real client of DHCP cannot be run here, if it is not on a PATH."""
    return None if shutil.which(name, path=path) else f"{name} is not installed: '{package}' brings it"
