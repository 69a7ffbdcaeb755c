"""The rule model: portable, frozen, and validated when it is made.

    Rule(ACCEPT, protocol="tcp", source="192.0.2.0/24", destination_ports=[22, "8000-8010"])
    Rule(DROP, in_interface="tap1", source=Not("192.0.2.7", "2001:db8::7"))
    Rule(ACCEPT, states={State.ESTABLISHED, State.RELATED})

A rule matches a packet of which everything holds that is said. What a backend cannot express it refuses with
:class:`~refnet.errors.Unsupported` when the rule is added, before anything has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from refnet import names
from refnet.errors import InvalidArgument
from refnet.firewall import protocols, values
from refnet.firewall.actions import Action, Answer, ChecksumFill, Dnat, Masquerade, Redirect, Reject, Snat
from refnet.firewall.values import AnyOf, IcmpType, Mark, Not, PortRange, Rate, State
from refnet.names import IPNetwork, shown

_ACTIONS = Action.__args__


@dataclass(frozen=True, slots=True, init=False)
class Rule:
    """One rule: what it does (``action``) with packets that match all of the rest. None matches anything.

    Attributes:
        action: see :mod:`refnet.firewall.actions`.
        family: 4, 6, or None for both. Addresses, ICMP and NAT addresses set it where it is not said.
        protocol: its name in lower case where the tools have one (``tcp``, ``udp``, ``icmp``, ``ipv6-icmp``, …;
            ``icmpv6`` and ``icmp6`` are taken for the last), else its number as text.
        source, destination: networks.
        source_ports, destination_ports: ranges of ports, for the protocols that have ports; (80, 443) are two ports,
            "80-443" or [(80, 443)] is a range.
        in_interface: the device that the packet came by, by its name; hooks input, forward, prerouting.
        out_interface: the device that it leaves by; hooks output, forward, postrouting.
        source_mac: the sender's MAC address; hooks input, forward, prerouting.
        states: what connection tracking says.
        icmp_type: type and code, for ICMP and ICMPv6.
        mark: the packet's mark.
        limit: the rule matches no more packets than that; of each family, where the backend has a table for each.
        comment: up to 100 printable ASCII characters, for people.
    """

    action: Action
    family: int | None
    protocol: str | None
    source: AnyOf[IPNetwork] | None
    destination: AnyOf[IPNetwork] | None
    source_ports: AnyOf[PortRange] | None
    destination_ports: AnyOf[PortRange] | None
    in_interface: AnyOf[str] | None
    out_interface: AnyOf[str] | None
    source_mac: AnyOf[str] | None
    states: AnyOf[State] | None
    icmp_type: IcmpType | None
    mark: Mark | None
    limit: Rate | None
    comment: str | None

    def __init__(
        self,
        action: Action,
        *,
        family: int | None = None,
        protocol: str | int | None = None,
        source: Any = None,
        destination: Any = None,
        source_ports: Any = None,
        destination_ports: Any = None,
        in_interface: Any = None,
        out_interface: Any = None,
        source_mac: Any = None,
        states: Any = None,
        icmp_type: Any = None,
        mark: Mark | tuple[int, int] | int | None = None,
        limit: Rate | tuple[Any, ...] | str | None = None,
        comment: str | None = None,
    ) -> None:
        """Validate every field, and that they go together.

        Where several values are possible, one or an iterable of them can be given, and :class:`~.values.Not` of them.

        Raises:
            InvalidArgument: a value is none, or two fields exclude each other; the message says which.
        """
        if not isinstance(action, _ACTIONS):
            raise InvalidArgument(
                f"action {shown(action)} is none: take one of refnet.firewall.actions, such as ACCEPT"
            )
        made = {
            "action": action,
            "family": values.family(family),
            "protocol": None if protocol is None else protocols.name(protocol),
            "source": values.any_of(source, "source", names.ip_network),
            "destination": values.any_of(destination, "destination", names.ip_network),
            "source_ports": values.any_of(source_ports, "source ports", values.port_range),
            "destination_ports": values.any_of(destination_ports, "destination ports", values.port_range),
            "in_interface": values.any_of(in_interface, "in interface", _in_interface),
            "out_interface": values.any_of(out_interface, "out interface", _out_interface),
            "source_mac": values.any_of(source_mac, "source MAC address", names.mac_address),
            "states": values.any_of(states, "states", _state),
            "icmp_type": None if icmp_type is None else protocols.icmp_type(icmp_type, protocol),
            "mark": None if mark is None else values.masked_mark(mark),
            "limit": None if limit is None else values.rate(limit),
            "comment": None if comment is None else values.text(comment, "comment", values.MAX_COMMENT),
        }
        made["family"] = _one_family(made)
        _see_that_it_goes_together(made)
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Give what is set, as a program would say it."""
        said = [repr(self.action)]
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if isinstance(value, AnyOf):
                given = [str(each) for each in value.values]
                said.append(f"{one.name}={Not(*given) if value.negated else given!r}")
            elif value is not None:
                said.append(f"{one.name}={value!r}")
        return f"Rule({', '.join(said)})"


def _in_interface(name: object) -> str:
    return names.device_name(name, "in interface")


def _out_interface(name: object) -> str:
    return names.device_name(name, "out interface")


def _state(value: object) -> State:
    try:
        return State(value)
    except ValueError:
        raise InvalidArgument(f"state {shown(value)} is none: known are {', '.join(State)}") from None


def _one_family(made: dict[str, Any]) -> int | None:
    """Return the family that all of a rule's parts belong to; None: nothing in it belongs to one.

    Raises:
        InvalidArgument: they belong to two.
    """
    found: dict[int, str] = {}
    if made["family"] is not None:
        found[made["family"]] = "the rule itself"
    for name in ("source", "destination"):
        for network in made[name].values if made[name] else ():
            found.setdefault(network.version, f"{name} {network}")
    action = made["action"]
    if isinstance(action, Snat | Dnat):
        found.setdefault(action.address.version, f"the address {action.address}")
    of_protocol = protocols.FAMILY.get(made["protocol"])
    if of_protocol:
        found.setdefault(of_protocol, f"protocol {made['protocol']}")
    if len(found) > 1:
        raise InvalidArgument(f"a rule cannot be about both families: {found[4]} is IPv4, {found[6]} is IPv6")
    return next(iter(found), None)


def _see_that_it_goes_together(made: dict[str, Any]) -> None:
    protocol, action = made["protocol"], made["action"]
    if made["family"] == 6 and protocol in protocols.IPV6_HEADERS:
        raise InvalidArgument(
            f"protocol {protocol} is an extension header of IPv6, which is no packet's protocol for a filter"
        )
    for name in ("source_ports", "destination_ports"):
        if made[name] and protocol not in protocols.WITH_PORTS:
            raise InvalidArgument(
                f"{name.replace('_', ' ')} need a protocol that has ports ({', '.join(protocols.WITH_PORTS)}), "
                f"not {protocol or 'any'}"
            )
    if made["icmp_type"] and protocol not in protocols.FAMILY:
        raise InvalidArgument(f"an ICMP type needs protocol icmp or ipv6-icmp, not {protocol or 'any'}")
    if isinstance(action, Reject) and action.answer is Answer.TCP_RESET and protocol != "tcp":
        raise InvalidArgument(f"only TCP can be rejected with tcp-reset: the protocol is {protocol or 'any'}")
    changes_ports = isinstance(action, Redirect) or (isinstance(action, Snat | Dnat | Masquerade) and action.ports)
    if changes_ports and protocol not in protocols.WITH_PORTS:
        raise InvalidArgument(
            f"to change ports, the rule needs a protocol that has them ({', '.join(protocols.WITH_PORTS)})"
        )
    if isinstance(action, ChecksumFill) and protocol not in ("tcp", "udp"):
        raise InvalidArgument("a checksum can be filled in for protocol tcp or udp: say which")


__all__ = ["AnyOf", "IcmpType", "Mark", "Not", "PortRange", "Rate", "Rule", "State"]
