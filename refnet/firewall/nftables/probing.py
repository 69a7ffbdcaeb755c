"""What nft and the kernel can do here, found out by asking the kernel for it without changing anything."""

from __future__ import annotations

from refnet.errors import RefnetError, Unsupported
from refnet.firewall import conntrack, ipv6
from refnet.firewall.capabilities import Capability
from refnet.firewall.nftables import tool

_TABLE = "refnet-probe"
_RULES = {
    Capability.FILTER: ("filter", "forward", "tcp dport 22 counter reject with icmpx type port-unreachable"),
    Capability.FIREWALL_IPV6: ("filter", "forward", "icmpv6 type 128 counter accept"),
    Capability.NAT: ("nat", "postrouting", "meta nfproto ipv4 counter masquerade"),
    Capability.NAT_IPV6: ("nat", "postrouting", "meta nfproto ipv6 counter masquerade"),
    Capability.CONNECTION_STATE: ("filter", "forward", "ct state established counter accept"),
    Capability.TRANSLATED_STATE: ("filter", "forward", "ct status & (snat | dnat) != 0 counter accept"),
    Capability.RATE_LIMIT: ("filter", "forward", "limit rate 10/minute burst 5 packets counter accept"),
    Capability.LOG: ("filter", "forward", 'counter log prefix "refnet"'),
    Capability.MARK: ("filter", "forward", "counter meta mark set meta mark & 0xffffff00 | 0x1"),
    Capability.SOURCE_MAC: ("filter", "forward", "ether saddr 02:00:00:00:00:01 counter accept"),
    Capability.COUNTERS: ("filter", "forward", "counter"),
    Capability.POSITION: ("filter", "forward", "counter"),
}
#: What has been answered: a kernel does not change.
_answers: dict[Capability, str | None] = {}


def probe(capability: Capability) -> str | None:
    """Return None if it can be done here, else why not."""
    if capability in (Capability.FIREWALL_IPV6, Capability.NAT_IPV6) and not ipv6.is_there():
        return ipv6.LACKS_IT
    if capability in _answers:
        return _answers[capability]
    if capability is Capability.FORGET_CONNECTIONS:
        return conntrack.probe()
    try:
        tool.run(_script(capability), wait=5.0, check=True)
    except tool.Gone as gone:
        answer: str | None = str(gone.error)
    except Unsupported as error:
        answer = str(error)
    except RefnetError as error:
        return str(error)  # a missing program or privilege may come
    else:
        answer = None
    _answers[capability] = answer
    return answer


def _script(capability: Capability) -> tool.Script:
    script = tool.Script()
    if capability in (Capability.LAYER2, Capability.NEIGHBOUR_TARGETS):
        script.add(f"add table bridge {_TABLE}")
        for hook in ("prerouting", "input", "postrouting"):
            script.add(f"add chain bridge {_TABLE} {hook} {{ type filter hook {hook} priority 0; policy accept; }}")
        script.add(f"add rule bridge {_TABLE} prerouting arp saddr ip 192.0.2.1 @th,64,8 2 drop")
        return script
    kind, hook, rule = _RULES[capability]
    script.add(f"add table inet {_TABLE}")
    script.add(f"add chain inet {_TABLE} c {{ type {kind} hook {hook} priority 100; policy accept; }}")
    script.add(f"add rule inet {_TABLE} c {rule}")
    return script
