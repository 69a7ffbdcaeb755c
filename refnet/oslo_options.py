"""The options of a deployment, read by oslo.config: group ``[refnet]``.

    from oslo_config import cfg
    from refnet import oslo_options

    oslo_options.register(cfg.CONF)
    cfg.CONF(sys.argv[1:], project="nova")
    oslo_options.apply(cfg.CONF)

``oslo-config-generator --namespace refnet`` prints them all. Without a line in the file nothing changes: the platform's
drivers, and Open vSwitch and DHCP where they are usually. refnet itself does not need oslo.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from refnet import config
from refnet.dhcp.manager import DhcpManager, checked_directory
from refnet.errors import DriverNotFound, InvalidArgument
from refnet.firewall.manager import FirewallManager
from refnet.netdev.driver import NetDevDriver

__all__ = ["GROUP", "PRIVILEGED", "apply", "list_opts", "read", "register"]

#: The group of the options, and that of the privileged daemon (see :mod:`refnet.privsep`).
GROUP, PRIVILEGED = "refnet", "refnet_privileged"

_PATH = "or package.module:Class"
_OPTIONS = (
    cfg.StrOpt(
        "netdev_driver",
        sample_default="linux",
        help="The driver of network devices, by its name among the entry points of the group 'refnet.netdev', "
        f"{_PATH}. 'linux' and 'freebsd' come with refnet; without this option it is that of the system.",
    ),
    cfg.StrOpt(
        "firewall_driver",
        sample_default="iptables",
        help="The packet filter, by its name among the entry points of the group 'refnet.firewall', "
        f"{_PATH}. With refnet come 'iptables', 'iptables-legacy' and 'iptables-nft' (a variant of its tools, whatever "
        "'iptables' on this host is), 'nftables', 'pf' (FreeBSD's default), and 'null', which filters nothing.",
    ),
    cfg.StrOpt(
        "dhcp_driver",
        sample_default="dnsmasq",
        help="What serves DHCP and DNS to guests, by its name among the entry points of the group 'refnet.dhcp', "
        f"{_PATH}.",
    ),
    cfg.StrOpt(
        "dhcp_directory",
        sample_default="/var/lib/refnet/dhcp",
        help="Absolute path of the directory in which DHCP's networks and leases are kept. It is made if it is "
        "missing, has to outlive reboots if leases shall, and the server's user has to be able to get into it.",
    ),
    cfg.StrOpt(
        "ovsdb_connection",
        sample_default="unix:/var/run/openvswitch/db.sock",
        help="Where Open vSwitch's database is, as ovsdb-client(1) takes it: unix:PATH, tcp:ADDRESS:PORT or "
        "ssl:ADDRESS:PORT, an IPv6 address in brackets.",
    ),
    cfg.BoolOpt(
        "use_privsep",
        default=False,
        help="Whether a process that is not root has its work done by a privileged daemon (oslo.privsep), whose own "
        f"options are those of the group [{PRIVILEGED}]. The drivers above are then the daemon's, which reads them "
        "from the configuration files itself.",
    ),
)
#: An option, what refnet.config calls it, and how it is seen whether a value is possible.
_DRIVERS: dict[str, tuple[str, type]] = {
    "netdev_driver": ("netdev", NetDevDriver),
    "firewall_driver": ("firewall", FirewallManager),
    "dhcp_driver": ("dhcp", DhcpManager),
}
_METHOD = re.compile(r"unix:\S+|(?:tcp|ssl):(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options by their group, for ``oslo-config-generator`` (entry points of ``oslo.config.opts``)."""
    found = [(GROUP, copy.deepcopy(list(_OPTIONS)))]
    # Imported late: who starts no daemon need not have it.
    from oslo_privsep import capabilities, priv_context

    from refnet.privsep import context

    daemon = copy.deepcopy(priv_context.OPTS)
    for one in daemon:
        if one.name == "capabilities":
            one.default = [capabilities.CAPS_BYVALUE[number] for number in context.conf.capabilities]
    return [*found, (PRIVILEGED, daemon)]


def register(conf: Any) -> None:
    """Make the options of ``[refnet]`` known to a ``ConfigOpts``; again is no error."""
    conf.register_opts(copy.deepcopy(_OPTIONS), group=GROUP)


def apply(conf: Any) -> None:
    """Have refnet in this process do as a ``ConfigOpts`` says: see :func:`refnet.config.configure`.

    An option that is not set leaves the choice to the environment (``REFNET_NETDEV``, …) and the platform.

    Raises:
        DriverNotFound: a driver that there is none of, or that could not be imported; the message names the option.
        InvalidArgument: another value that cannot be; the message names the option.
    """
    register(conf)
    chosen = read(conf)
    if conf[GROUP].use_privsep:
        from refnet import privsep

        config.configure(ovsdb=chosen["ovsdb"], dhcp_directory=chosen["dhcp_directory"])
        privsep.use()
        return
    config.configure(**chosen)


def read(conf: Any) -> dict[str, str]:
    """Return what ``[refnet]`` says, checked, by the words of :func:`refnet.config.configure`; "": it is not set.

    Raises: as :func:`apply`.
    """
    group = conf[GROUP]
    found = {}
    for option, (name, base) in _DRIVERS.items():
        found[name] = _checked(option, group[option], lambda value, name=name, base=base: _driver(name, value, base))  # type: ignore[misc]
    found["ovsdb"] = _checked("ovsdb_connection", group.ovsdb_connection, _connection)
    found["dhcp_directory"] = _checked("dhcp_directory", group.dhcp_directory, checked_directory)
    return found


def _checked(option: str, value: str | None, check: Callable[[str], object]) -> str:
    if not value:
        return ""
    try:
        check(value)
    except InvalidArgument as error:
        error.message = f"option {option} of group [{GROUP}]: {error.message}"
        error.args = (error.message,)
        raise
    return value


def _driver(name: str, value: str, base: type) -> None:
    group = f"refnet.{name}"
    if config.is_privsep(group, value):
        raise DriverNotFound(f"{value!r} is chosen by use_privsep; name the driver that the daemon is to use, or none")
    config.load_class(group, value, base)


def _connection(value: str) -> None:
    match = _METHOD.fullmatch(value)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        raise InvalidArgument(
            f"{value!r} is no connection to a database: unix:PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT is"
        )
