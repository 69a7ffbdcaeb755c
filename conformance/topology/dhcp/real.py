"""Real clients of DHCP in a guest, as distributions have them: dhclient, udhcpc, dhcpcd.

Each is told to run a script of the suite's own, which writes down what the client says that it has got, and touches
nothing. Each has files of its own, and none of the host's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance import system
from conformance.errors import SuiteError
from conformance.features import REAL_CLIENTS
from conformance.scratch import new_path
from conformance.topology.base import GUEST_DEVICE, Guest

#: Seconds for a client to come to a lease: it may wait some itself before it asks again.
_LIMIT = 60.0
#: Seconds for a client that is told to end.
_END_LIMIT = 10.0
#: Of what a client calls its script for, what says that it has a lease.
_HAVE = "BOUND|REBOOT|RENEW|REBIND|bound|renew"
#: udhcpc's words for what the others tell.
_WORDS = {
    "ip": "ip_address",
    "subnet": "subnet_mask",
    "router": "routers",
    "dns": "domain_name_servers",
    "domain": "domain_name",
    "search": "domain_search",
    "mtu": "interface_mtu",
    "hostname": "host_name",
    "lease": "dhcp_lease_time",
    "serverid": "dhcp_server_identifier",
    "staticroutes": "classless_static_routes",
}
#: Other names for the routes of option 121: of dhclient as Debian configures it, and of FreeBSD's.
_ROUTES = ("rfc3442_classless_static_routes", "classless_routes", "classless_static_routes")


@dataclass(frozen=True, slots=True)
class RealLease:
    """What a client says that it has got.

    Attributes:
        address: with its prefix length.
        routers, dns_servers, search: addresses and domains; empty: none.
        routes: classless routes, as destination and gateway.
        domain, hostname, server: "": none.
        mtu, lease_time: bytes and seconds; None: none.
        said: all of the client's words, by their names in dhclient's language, without "new_".
    """

    address: str
    routers: tuple[str, ...]
    dns_servers: tuple[str, ...]
    domain: str
    search: tuple[str, ...]
    hostname: str
    server: str
    routes: tuple[tuple[str, str], ...]
    mtu: int | None
    lease_time: int | None
    said: Mapping[str, str]


def lease(guest: Guest, client: str, *, hostname: str | None = None, client_id: bytes | None = None) -> RealLease:
    """Have a real client come to a lease in a guest, whose kernel then has the address; return what it says.

    The client is ended without giving the lease back.

    Raises:
        AssertionError: it comes to none; the message has its last words.
        SuiteError: it cannot be run.
    """
    assert client in REAL_CLIENTS, client
    scratch = new_path("client")
    scratch.mkdir()
    scratch.chmod(0o755)
    try:
        told = scratch / "told"
        script = scratch / "script"
        script.write_text(_script(told))
        script.chmod(0o755)
        argv = _COMMANDS[client](scratch, script, hostname, client_id)
        running = guest.start(*argv)
        try:
            said = _awaited(running, told, client)
        finally:
            words = _ended(running)
        assert said is not None, f"{client} comes to no lease in {guest.name}: {words}"
        found = parsed(said)
        guest.wake(found.address)
        return found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def parsed(said: str) -> RealLease:
    """Return what a client's script has written down: its environment.

    Raises:
        AssertionError: there is no address with its mask among it.
    """
    told: dict[str, str] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        if name.startswith("new_"):
            told[name.removeprefix("new_")] = value
        elif name in _WORDS:
            told[_WORDS[name]] = value
    mask = told.get("subnet_mask") or told.get("subnet_cidr", "")
    given = told.get("ip_address")
    if not given or not mask:
        raise AssertionError(f"a client has a lease without an address and a mask: {told}")
    address = ipaddress.IPv4Interface(f"{given}/{mask}")
    routes = next((told[name] for name in _ROUTES if told.get(name)), "")
    return RealLease(
        address=str(address),
        routers=_several(told, "routers"),
        dns_servers=_several(told, "domain_name_servers"),
        domain=told.get("domain_name", ""),
        search=tuple(one.rstrip(".") for one in _several(told, "domain_search")),
        hostname=told.get("host_name", ""),
        server=told.get("dhcp_server_identifier", ""),
        routes=_routes(routes.replace(",", " ").split()),
        mtu=_number(told, "interface_mtu"),
        lease_time=_number(told, "dhcp_lease_time"),
        said=told,
    )


def _several(told: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(told.get(name, "").replace(",", " ").split())


def _number(told: Mapping[str, str], name: str) -> int | None:
    return int(told[name]) if told.get(name, "").isdigit() else None


def _routes(words: list[str]) -> tuple[tuple[str, str], ...]:
    """Return routes that are told as pairs of destination and gateway, or as the octets of the option (RFC 3442)."""
    if any("." in word for word in words):
        return tuple(zip(words[::2], words[1::2], strict=True))
    octets, found = [int(word) for word in words], []
    while octets:
        size = (octets[0] + 7) // 8
        destination = ".".join(map(str, [*octets[1 : 1 + size], *[0] * (4 - size)]))
        gateway = ".".join(map(str, octets[1 + size : 5 + size]))
        found.append((f"{destination}/{octets[0]}", gateway))
        octets = octets[5 + size :]
    return tuple(found)


def _script(told: Path) -> str:
    """Return a script that writes down its environment if it is called with a lease."""
    place = shlex.quote(str(told))
    return (
        f'#!/bin/sh\ncase "${{reason:-$1}}" in\n{_HAVE}) env >{place}.new && mv {place}.new {place} ;;\nesac\nexit 0\n'
    )


def _awaited(running: subprocess.Popen[str], told: Path, client: str) -> str | None:
    """Return what the script has written down; None: the client has ended, or takes too long, without a lease."""
    deadline = time.monotonic() + _LIMIT
    while time.monotonic() < deadline:
        # Some go into the background by themselves, and the script may be called by then.
        is_over = running.poll() is not None
        with contextlib.suppress(FileNotFoundError):
            return told.read_text(errors="replace")
        if is_over:
            return None
        time.sleep(0.02)
    return None


def _ended(running: subprocess.Popen[str]) -> str:
    """Have a client end without its giving the lease back, and return its last words."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    try:
        said, _ = running.communicate(timeout=_END_LIMIT)
    except subprocess.TimeoutExpired:
        raise SuiteError(f"{running.args!r} does not end") from None
    return " / ".join(said.strip().splitlines()[-4:]) or "it says nothing"


# -- the clients ------------------------------------------------------------------------------------------

_DHCLIENT_LINUX = """\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name,
        interface-mtu, ntp-servers, rfc3442-classless-static-routes;
initial-delay 0;
timeout 50;
"""
_DHCLIENT_FREEBSD = """\
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name,
        interface-mtu, classless-routes;
timeout 50;
"""
_DHCPCD = """\
option subnet_mask, routers, domain_name, domain_name_servers, domain_search, host_name, interface_mtu
option classless_static_routes
require dhcp_server_identifier
ipv4only
noarp
noipv4ll
nodelay
nogateway
timeout 50
"""


def _is_linux() -> bool:
    return system.NAME == system.LINUX


def _dhclient(scratch: Path, script: Path, hostname: str | None, client_id: bytes | None) -> list[str]:
    text = _DHCLIENT_LINUX if _is_linux() else f'{_DHCLIENT_FREEBSD}script "{script}";\n'
    if hostname is not None:
        text += f'send host-name "{hostname}";\n'
    if client_id is not None:
        text += f"send dhcp-client-identifier {client_id.hex(':')};\n"
    (scratch / "conf").write_text(text)
    if not _is_linux():
        names = [f"{scratch}/{name}" for name in ("conf", "leases", "pid")]
        return ["dhclient", "-d", "-c", names[0], "-l", names[1], "-p", names[2], GUEST_DEVICE]
    # Where AppArmor confines it to files of its own, it does so by the place that it is started from.
    own = shutil.copy(_program("dhclient"), scratch / "dhclient")
    (scratch / "leases").touch()
    files = ["-cf", f"{scratch}/conf", "-lf", f"{scratch}/leases", "-pf", f"{scratch}/pid"]
    return [str(own), "-4", "-1", "-d", "-sf", str(script), *files, GUEST_DEVICE]


def _udhcpc(scratch: Path, script: Path, hostname: str | None, client_id: bytes | None) -> list[str]:
    wanted = [word for name in ("mtu", "search", "staticroutes", "hostname") for word in ("-O", name)]
    named = [] if hostname is None else ["-x", f"hostname:{hostname}"]
    identified = [] if client_id is None else ["-C", "-x", f"0x3d:{client_id.hex()}"]
    options = ["-i", GUEST_DEVICE, "-s", str(script), "-p", f"{scratch}/pid", "-f", "-q", "-t", "30", "-T", "1", "-n"]
    return [_program("udhcpc"), *options, *wanted, *named, *identified]


def _dhcpcd(scratch: Path, script: Path, hostname: str | None, client_id: bytes | None) -> list[str]:
    text = _DHCPCD
    if hostname is not None:
        text += f"hostname {hostname}\n"
    text += f"clientid {client_id.hex(':')}\n" if client_id is not None else "clientid\n"
    (scratch / "conf").write_text(text)
    program = _program("dhcpcd")
    options = ["-B", "-4", "-f", f"{scratch}/conf", "--script", str(script), GUEST_DEVICE]
    # Where it keeps leases and sockets is compiled in.
    hidden = 'for at in /var/lib/dhcpcd /run/dhcpcd; do mkdir -p $at; mount -n -t tmpfs none $at; done; exec "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", hidden, program, *options]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SuiteError(f"{name} is not installed")
    return found


_COMMANDS: Mapping[str, Callable[[Path, Path, str | None, bytes | None], list[str]]] = {
    "dhclient": _dhclient,
    "udhcpc": _udhcpc,
    "dhcpcd": _dhcpcd,
}
