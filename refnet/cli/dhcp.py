"""The commands of ``refnet dhcp``: network files, servers and their leases."""

from __future__ import annotations

import contextlib
import datetime
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from refnet.cli.output import Answer, capabilities_text, table

if TYPE_CHECKING:
    from refnet.dhcp import DhcpManager, Lease

#: Whose the packet filter's rules are. One process at a time has an owner's: no other program is to be called so.
_OWNER = "refnet-dhcp"


def check(options: Namespace) -> Answer:
    """Read a network file and say in words what it means. Nothing is looked at or changed."""
    from refnet.dhcp import file, words

    network = file.read(options.file)
    return Answer.lines({"ok": True, "network": file.plain(network)}, words.network(network))


def start(options: Namespace) -> Answer:
    """Make sure that a network is served."""
    from refnet.dhcp import file

    network = file.read(options.file)
    with _manager(options) as manager:
        manager.start(network)
    return _done(options, network.device)


def update(options: Namespace) -> Answer:
    """Have a running server serve a network so."""
    from refnet.dhcp import file

    network = file.read(options.file)
    with _manager(options) as manager:
        manager.update(network)
    return _done(options, network.device)


def stop(options: Namespace) -> Answer:
    """Stop a device's server."""
    with _manager(options) as manager:
        manager.stop(options.device, forget=options.forget)
    return _done(options, options.device)


def show(options: Namespace) -> Answer:
    """Say what is served, and whether it is."""
    from refnet.dhcp import file, words
    from refnet.errors import NotRunning

    documents, lines = [], []
    with _manager(options) as manager:
        for device in [options.device] if options.device is not None else manager.networks():
            status = manager.running(device)
            state = f"running, process {status.pid}" if status.is_running else f"not running: {status.reason}"
            lines.append(f"{device}: {state}")
            network = None
            with contextlib.suppress(NotRunning):
                network = manager.network(device)
                lines += [f"  {line}" for line in words.network(network)]
            documents.append(
                {
                    "device": device,
                    "running": status.is_running,
                    "pid": status.pid,
                    "reason": status.reason,
                    "network": network and file.plain(network),
                }
            )
    # Not Answer.lines: they are indented.
    return Answer({"networks": documents}, "".join(f"{line}\n" for line in lines) or "no network is here\n")


def leases(options: Namespace) -> Answer:
    """List a device's leases."""
    with _manager(options) as manager:
        found = manager.leases(options.device)
    rows = [("ADDRESS", "CLIENT", "NAME", "ENDS")] + [_lease_row(lease) for lease in found]
    document = {"device": options.device, "leases": [_lease(lease) for lease in found]}
    return Answer(document, "".join(f"{row}\n" for row in table(rows)))


def release(options: Namespace) -> Answer:
    """End a client's lease."""
    with _manager(options) as manager:
        manager.release(options.device, options.address, options.client)
    return _done(options, options.device, address=options.address)


def add_host(options: Namespace) -> Answer:
    """Add a host to a network."""
    from refnet.dhcp import Host, file

    host = Host(options.mac, options.address, name=options.name, client_id=options.client_id)
    with _manager(options) as manager:
        manager.add_host(options.device, host)
    return _done(options, options.device, host=file.plain_host(host))


def remove_host(options: Namespace) -> Answer:
    """Remove a host from a network."""
    with _manager(options) as manager:
        manager.remove_host(options.device, options.identity)
    return _done(options, options.device, identity=options.identity)


def capabilities(options: Namespace) -> Answer:
    """Ask for every capability; that one is missing is an answer, not an error."""
    from refnet.dhcp import Capability

    with _manager(options) as manager:
        reasons = {str(capability): manager.probe(capability) for capability in Capability}
    found = {name: {"available": reason is None, "reason": reason} for name, reason in reasons.items()}
    return Answer({"capabilities": found}, capabilities_text(reasons))


@contextlib.contextmanager
def _manager(options: Namespace) -> Iterator[DhcpManager]:
    from refnet import dhcp, firewall

    rules = firewall.get_manager(_OWNER) if getattr(options, "firewall", False) else None
    directory = getattr(options, "directory", None)
    with contextlib.closing(dhcp.get_manager(directory, firewall=rules, choice=options.driver)) as manager:
        yield manager


def _lease(lease: Lease) -> dict[str, Any]:
    return {**lease._asdict(), "address": str(lease.address)}


def _lease_row(lease: Lease) -> tuple[str, ...]:
    if lease.expires is None:
        ends = "never"
    else:
        ends = datetime.datetime.fromtimestamp(lease.expires, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    client = lease.mac_address if lease.address.version == 4 else lease.client_id
    return str(lease.address), client or lease.client_id or "", lease.name or "", ends


def _done(options: Namespace, device: str, **facts: Any) -> Answer:
    return Answer({"ok": True, "operation": options.operation, "device": device, **facts})
