"""What runs privileged: four entry points, and nothing else.

A call names a method of the interface; which class it is a method of is settled (:mod:`~refnet.privsep.contexts`).
Arguments are made anew by their own constructors, and the driver validates them as it validates everybody's.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from refnet import config, dhcp, firewall, netdev
from refnet.dhcp.manager import DhcpManager
from refnet.errors import InvalidArgument, RefnetError
from refnet.firewall.manager import FirewallManager
from refnet.names import shown
from refnet.netdev.driver import NetDevDriver
from refnet.privsep import sessions
from refnet.privsep.contexts import context
from refnet.privsep.encoding import Plain, decode, encode, encode_error

#: What belongs to an object's life in its own process, or is made of other methods there.
_LOCAL = ("close",)
#: Managers kept at most, each for a caller's time limit.
_KEPT = 16

_managers: OrderedDict[float, DhcpManager] = OrderedDict()
_managers_lock = threading.Lock()


@functools.cache
def methods(interface: type) -> frozenset[str]:
    """Return the names of an interface's methods that a daemon can be asked for."""
    return frozenset(
        name
        for name, member in inspect.getmembers(interface, inspect.isfunction)
        if not name.startswith("_") and name not in _LOCAL
    )


@context.entrypoint  # type: ignore[untyped-decorator,unused-ignore]
def netdev_call(method: str, arguments: Plain) -> Plain:
    """Call a method of the device driver."""
    return _answered(lambda: _call(NetDevDriver, netdev.get_driver(), method, arguments))


@context.entrypoint  # type: ignore[untyped-decorator,unused-ignore]
def dhcp_call(settings: Plain, method: str, arguments: Plain) -> Plain:
    """Call a method of the DHCP manager; the settings are the caller's idea of its directory, and its time limit."""

    def call() -> Any:
        directory, time_limit = decode(settings)
        manager = _dhcp_manager(time_limit)
        if directory is not None and str(directory) != str(manager.directory):
            raise InvalidArgument(
                f"the privileged daemon keeps its networks in {manager.directory}, not in {shown(str(directory))}: "
                "where that is says [refnet] dhcp_directory"
            )
        return _call(DhcpManager, manager, method, arguments)

    return _answered(call)


@context.entrypoint  # type: ignore[untyped-decorator,unused-ignore]
def firewall_call(request: Plain) -> Plain:
    """Do what a firewall manager in another process asks for: see :mod:`~refnet.privsep.sessions`."""
    return _answered(lambda: sessions.answer(decode(request)))


@context.entrypoint  # type: ignore[untyped-decorator,unused-ignore]
def firewall_class() -> Plain:
    """Tell which class the daemon's firewall is, so that rules can be checked by it before they are sent."""

    def path() -> str:
        loaded = config.load_class(firewall.ENTRY_POINTS, config.choice(firewall.ENTRY_POINTS), FirewallManager)  # type: ignore[type-abstract]
        return f"{loaded.__module__}:{loaded.__qualname__}"

    return _answered(path)


def _answered(work: Callable[[], Any]) -> Plain:
    """Return what comes of it: True and the value, or False and the error. Errors of no kind of refnet's are bugs."""
    try:
        return True, encode(work())
    except RefnetError as error:
        return False, encode_error(error)


def _call(interface: type, target: object, method: str, arguments: Plain) -> Any:
    if method not in methods(interface):
        raise InvalidArgument(f"{shown(method)} is no method of {interface.__name__} that can be called from elsewhere")
    args, kwargs = decode(arguments)
    return getattr(target, method)(*args, **kwargs)


def _dhcp_manager(time_limit: float) -> DhcpManager:
    """Return the manager that waits so long: it keeps what it has read, which the next call need not read again."""
    with _managers_lock:
        manager = _managers.pop(time_limit, None)
        if manager is None:
            manager = dhcp.get_manager(time_limit=time_limit)
        _managers[time_limit] = manager
        if len(_managers) > _KEPT:
            _managers.popitem(last=False)  # not closed: another call may be using it, and it ends with that
        return manager
