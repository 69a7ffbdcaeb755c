"""Which class does the work: chosen by an option, by entry-point name or as ``package.module:Class``.

And where Open vSwitch and the files of DHCP are. What a caller names wins, then what :func:`configure` was told, then
the environment.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from refnet.errors import DriverNotFound, Unsupported

T = TypeVar("T")
K = TypeVar("K")

#: The name, in each group, of what has its work done by a privileged daemon.
PRIVSEP = "privsep"

#: Drivers that come with refnet. They are not entry points, so that a copy of the package that was never
#: installed (carried into a virtual machine, say) finds them as well, and so that finding one costs no scan.
_BUILT_IN: dict[str, dict[str, str]] = {
    "refnet.netdev": {
        "linux": "refnet.netdev.linux:LinuxNetDevDriver",
        "freebsd": "refnet.netdev.freebsd:FreeBSDNetDevDriver",
        # The driver of another process, which may do it: see refnet.privsep.
        PRIVSEP: "refnet.privsep:PrivsepNetDev",
    },
    "refnet.firewall": {
        "iptables": "refnet.firewall.iptables:IptablesManager",
        # The same with a variant of the tools of its own choice, whatever "iptables" on PATH is.
        "iptables-legacy": "refnet.firewall.iptables:LegacyIptablesManager",
        "iptables-nft": "refnet.firewall.iptables:NftIptablesManager",
        "nftables": "refnet.firewall.nftables:NftablesManager",
        "pf": "refnet.firewall.pf:PfManager",
        "null": "refnet.firewall.null:NullFirewall",
        PRIVSEP: "refnet.privsep:PrivsepFirewall",
    },
    "refnet.dhcp": {
        "dnsmasq": "refnet.dhcp.dnsmasq:DnsmasqManager",
        PRIVSEP: "refnet.privsep:PrivsepDhcp",
    },
}

_PLATFORM_DEFAULT: dict[str, dict[str, str]] = {
    "refnet.netdev": {"linux": "linux", "freebsd": "freebsd"},
    "refnet.firewall": {"linux": "iptables", "freebsd": "pf"},
    "refnet.dhcp": {"linux": "dnsmasq", "freebsd": "dnsmasq"},
}

#: What :func:`configure` was told, by the group of entry points, and "refnet.ovsdb", "refnet.dhcp_directory".
_configured: dict[str, str] = {}


def configure(
    *,
    netdev: str | None = None,
    firewall: str | None = None,
    dhcp: str | None = None,
    ovsdb: str | None = None,
    dhcp_directory: str | None = None,
) -> None:
    """Set options for this process: classes as :func:`choice` takes them, and where things are.

    ``ovsdb`` is a connection method of ovsdb-client(1), such as ``unix:/run/openvswitch/db.sock`` or
    ``tcp:127.0.0.1:6640``; ``dhcp_directory`` is where a :class:`~refnet.dhcp.manager.DhcpManager` that is told none
    keeps its files. None leaves an option as it is; "" takes it back. Drivers see it at their next connection.
    """
    for name, value in (
        ("netdev", netdev),
        ("firewall", firewall),
        ("dhcp", dhcp),
        ("ovsdb", ovsdb),
        ("dhcp_directory", dhcp_directory),
    ):
        if value is not None:
            _configured[f"refnet.{name}"] = value


def dhcp_directory() -> str | None:
    """Return where DHCP's files are, as configured; None: where they are by default."""
    return _configured.get("refnet.dhcp_directory") or None


def ovsdb() -> str:
    """Return where Open vSwitch's database is: as configured, as in ``REFNET_OVSDB``, or where it is by default."""
    run = os.environ.get("OVS_RUNDIR") or "/var/run/openvswitch"
    return _set("refnet.ovsdb") or f"unix:{run}/db.sock"


def _set(name: str) -> str | None:
    return _configured.get(name) or os.environ.get(name.upper().replace(".", "_"))


def choice(group: str, option: str | None = None) -> str:
    """Return the name or path of the class to use for ``group``, such as ``refnet.netdev``.

    ``option`` wins; then :func:`configure`; then the environment (``REFNET_NETDEV`` for ``refnet.netdev``); then the
    platform's default.

    Raises:
        DriverNotFound: what was chosen is no text.
        Unsupported: there is no default for this platform, which the message names.
    """
    chosen = option or _set(group)
    if chosen:
        if not isinstance(chosen, str):
            raise DriverNotFound(f"driver {chosen!r} is no text: give a name, or 'package.module:Class'")
        return chosen
    # sys.platform is "linux", "freebsd14", "darwin", …; the number is no part of the choice.
    platform = sys.platform.rstrip("0123456789.")
    try:
        return _PLATFORM_DEFAULT[group][platform]
    except KeyError:
        known = ", ".join(sorted(_PLATFORM_DEFAULT.get(group, {})))
        raise Unsupported(
            f"refnet has no driver for platform {sys.platform!r} in {group} (it has one for: {known}); "
            f"name one as 'package.module:Class'",
            capability=group,
        ) from None


def is_privsep(group: str, chosen: str) -> bool:
    """Say whether a choice in ``group`` is what has its work done by a privileged daemon, by name or by path."""
    return chosen in (PRIVSEP, _BUILT_IN[group][PRIVSEP])


def load_class(group: str, chosen: str, base: type[T]) -> type[T]:
    """Import the class that ``chosen`` names in ``group`` and see that it implements ``base``.

    Raises:
        DriverNotFound: no such name, module or class, an import that fails (its words are in the message), or a
            class that is no ``base`` or lacks some of its methods.
    """
    path = _resolve(group, chosen)
    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    # A driver is foreign code: whatever its import raises is reported, not passed on as a traceback.
    except (Exception, SystemExit) as error:
        raise DriverNotFound(f"driver {chosen!r}: {module_name} cannot be imported: {_words(error)}") from error
    loaded = module
    for part in class_name.split("."):
        loaded = getattr(loaded, part, None)  # type: ignore[assignment]
    if not isinstance(loaded, type):
        raise DriverNotFound(f"driver {chosen!r}: there is no class {class_name!r} in {module_name}")
    if not issubclass(loaded, base):
        raise DriverNotFound(f"driver {chosen!r}: {class_name} is not a subclass of {base.__name__}")
    missing = sorted(getattr(loaded, "__abstractmethods__", ()))
    if missing:
        raise DriverNotFound(f"driver {chosen!r}: {class_name} does not implement {', '.join(missing)}")
    return loaded


class Instances(Generic[K, T]):
    """What this process has one of for each key, whichever of its threads asks first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._made: dict[K, T] = {}
        self._unlock()
        if hasattr(os, "register_at_fork"):  # else there is no driver either, and choice() says so
            # Whoever is making one in another thread when this process is forked does not go on in the child.
            os.register_at_fork(after_in_child=self._unlock)

    def get(self, key: K, make: Callable[[], T]) -> T:
        """Return the one of a key; the first time, what ``make`` returns."""
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = make()
        return found

    def _unlock(self) -> None:
        self._lock = threading.RLock()  # a driver may ask for another while it is imported


def available(group: str) -> dict[str, str]:
    """Return the names that can be chosen in ``group``, each with its ``package.module:Class``."""
    # Imported late: it is most of what "import refnet.netdev" would cost, and the drivers of refnet need it not.
    from importlib.metadata import entry_points

    found = {point.name: point.value for point in entry_points(group=group)}
    return {**found, **_BUILT_IN.get(group, {})}


def _resolve(group: str, chosen: str) -> str:
    if ":" in chosen:
        module, _, name = chosen.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise DriverNotFound(f"driver {chosen!r} is not of the form 'package.module:Class'")
        return chosen
    built_in = _BUILT_IN.get(group, {})
    if chosen in built_in:
        return built_in[chosen]
    names = available(group)
    if chosen not in names:
        known = ", ".join(sorted(names)) or "none"
        raise DriverNotFound(f"no driver {chosen!r} in {group}: known are {known}; or give 'package.module:Class'")
    return names[chosen]


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
