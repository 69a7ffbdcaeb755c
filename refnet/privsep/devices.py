"""Network devices, by the daemon: :class:`PrivsepNetDev`."""

from __future__ import annotations

import abc
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from refnet.netdev.driver import NetDevDriver
from refnet.privsep import client, daemon
from refnet.privsep.encoding import encode

Kind = TypeVar("Kind", bound=type)


def forwarding(interface: type, ask: Callable[[Any, str, Any], Any]) -> Callable[[Kind], Kind]:
    """Decorate a class so that each of the interface's methods that it does not have itself is asked of the daemon.

    ``ask`` is given the object, the method's name, and its arguments as plain data.
    """

    def method(name: str) -> Callable[..., Any]:
        promised = getattr(interface, name)
        signature = inspect.signature(promised)

        @functools.wraps(promised)
        def asked(self: object, *args: object, **kwargs: object) -> object:
            signature.bind(self, *args, **kwargs)  # a call that Python would refuse is refused here, as everywhere
            return ask(self, name, encode((args, kwargs)))

        asked.__isabstractmethod__ = False  # type: ignore[attr-defined]
        return asked

    def decorate(kind: Kind) -> Kind:
        for name in daemon.methods(interface):
            if name not in vars(kind):
                setattr(kind, name, method(name))
        abc.update_abstractmethods(kind)
        return kind

    return decorate


@forwarding(NetDevDriver, lambda _, method, arguments: client.ask(daemon.netdev_call, method, arguments))
class PrivsepNetDev(NetDevDriver):
    """The driver that the daemon has, each of whose methods runs there, on the daemon's network stack."""

    def __init__(self) -> None:
        """Ask nothing yet.

        Raises:
            DriverNotFound: this is the daemon itself.
        """
        client.see_that_this_is_no_daemon("refnet.netdev")
