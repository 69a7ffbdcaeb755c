"""What wrong DHCP managers are made with: those that serve another network than they were told to.

Nothing here relies on how a manager works inside, but :func:`patched` and :func:`starting`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

from refnet.dhcp import DhcpManager, DhcpNetwork, Host, Option
from refnet.dhcp.dnsmasq import plan

#: Makes a network of a network.
Rewrite = Callable[[DhcpNetwork], DhcpNetwork]
#: Makes a host of a host; None: there is none.
RewriteHost = Callable[[Host], Host | None]


def changed(network: DhcpNetwork, **fields: Any) -> DhcpNetwork:
    """Return a network with some fields changed."""
    given = {one.name: getattr(network, one.name) for one in dataclasses.fields(network)} | fields
    return DhcpNetwork(given.pop("device"), given.pop("addresses"), **given)


def changed_host(host: Host, **fields: Any) -> Host:
    """Return a host with some fields changed."""
    return Host(**({one.name: getattr(host, one.name) for one in dataclasses.fields(host)} | fields))


def serving(base: Any, rewrite: Rewrite) -> type[DhcpManager]:
    """Return a wrong class that serves other networks than it is told to."""

    class Wrong(base):  # type: ignore[misc]
        def start(self, network: Any) -> None:
            super().start(rewrite(network) if isinstance(network, DhcpNetwork) else network)

        def update(self, network: Any) -> None:
            super().update(rewrite(network) if isinstance(network, DhcpNetwork) else network)

    return Wrong


def serving_hosts(base: Any, rewrite: RewriteHost) -> type[DhcpManager]:
    """Return a wrong class that serves other hosts than it is told to, whichever way it is told of them."""

    def rewritten(network: DhcpNetwork) -> DhcpNetwork:
        return network.with_hosts([new for one in network.hosts if (new := rewrite(one)) is not None])

    class Wrong(serving(base, rewritten)):  # type: ignore[misc]
        def add_host(self, device: str, host: Any) -> None:
            new = rewrite(host) if isinstance(host, Host) else host
            if new is not None:
                super().add_host(device, new)

    return Wrong


def without(options: tuple[Option, ...], unwanted: Callable[[Option], bool]) -> list[Option]:
    """Return the options but for some."""
    return [one for one in options if not unwanted(one)]


def patched(base: Any, module: ModuleType, name: str, replacement: Any) -> type[DhcpManager]:
    """Return a class with which a function of refnet's is another one, as long as an instance is open."""
    original = getattr(module, name)

    class Wrong(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            setattr(module, name, replacement)

        def close(self) -> None:
            setattr(module, name, original)
            super().close()

    return Wrong


def starting(base: Any, *arguments: str) -> type[DhcpManager]:
    """Return a wrong class, made from DnsmasqManager, that starts dnsmasq with further arguments."""
    original = plan._arguments

    def more(*args: Any) -> list[str]:
        # The first and the last are what it knows its servers by.
        first, *rest, last = original(*args)
        return [first, *rest, *arguments, last]

    return patched(base, plan, "_arguments", more)
