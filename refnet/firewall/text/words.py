"""The words of iptables(8) and iptables-extensions(8): options and to which match or target they belong, and names.

Names of protocols and services are those of this table, never the host's files': the same text means the same anywhere.
"""

from __future__ import annotations

from typing import NamedTuple

from refnet.firewall.actions import Answer


class Option(NamedTuple):
    """An option: the method that reads it, and the match or target that it comes with ("": any rule has it)."""

    key: str
    owner: str = ""
    #: Whether "!" can stand before it.
    negated: bool = False
    arguments: int = 1


#: Short options by their letter. None: about a rule's place, which is not part of its text.
SHORT = {
    "s": "--source",
    "d": "--destination",
    "p": "--protocol",
    "i": "--in-interface",
    "o": "--out-interface",
    "j": "--jump",
    "g": "--goto",
    "m": "--match",
    "f": "--fragment",
    "c": "--set-counters",
    "4": "--ipv4",
    "6": "--ipv6",
}

#: The options of every rule.
GENERAL = {
    "--source": Option("source", negated=True),
    "--src": Option("source", negated=True),
    "--destination": Option("destination", negated=True),
    "--dst": Option("destination", negated=True),
    "--protocol": Option("protocol", negated=True),
    "--proto": Option("protocol", negated=True),
    "--in-interface": Option("in_interface", negated=True),
    "--out-interface": Option("out_interface", negated=True),
    "--jump": Option("jump"),
    "--goto": Option("goto"),
    "--match": Option("match"),
    "--fragment": Option("fragment", negated=True, arguments=0),
    "--set-counters": Option("counters", arguments=2),
    "--ipv4": Option("ipv4", arguments=0),
    "--ipv6": Option("ipv6", arguments=0),
}

_PORT_WORDS = {
    "--sport": "source_port",
    "--source-port": "source_port",
    "--dport": "destination_port",
    "--destination-port": "destination_port",
}


def _ports_of(match: str) -> dict[str, Option]:
    return {word: Option(key, match, negated=True) for word, key in _PORT_WORDS.items()}


#: What the model knows, by match. A match that is in ``MATCHES`` alone iptables has and the model has not.
MATCH_OPTIONS: dict[str, dict[str, Option]] = {
    "tcp": {
        **_ports_of("tcp"),
        "--tcp-flags": Option("unsupported", "tcp", negated=True, arguments=2),
        "--syn": Option("unsupported", "tcp", negated=True, arguments=0),
        "--tcp-option": Option("unsupported", "tcp", negated=True),
    },
    "udp": _ports_of("udp"),
    "sctp": {**_ports_of("sctp"), "--chunk-types": Option("unsupported", "sctp", negated=True, arguments=2)},
    "dccp": {
        **_ports_of("dccp"),
        "--dccp-types": Option("unsupported", "dccp", negated=True),
        "--dccp-option": Option("unsupported", "dccp", negated=True),
    },
    "icmp": {"--icmp-type": Option("icmp_type", "icmp", negated=True)},
    "icmp6": {"--icmpv6-type": Option("icmp_type", "icmp6", negated=True)},
    "multiport": {
        "--sports": Option("source_ports", "multiport", negated=True),
        "--source-ports": Option("source_ports", "multiport", negated=True),
        "--dports": Option("destination_ports", "multiport", negated=True),
        "--destination-ports": Option("destination_ports", "multiport", negated=True),
        "--ports": Option("either_ports", "multiport", negated=True),
    },
    "conntrack": {
        "--ctstate": Option("states", "conntrack", negated=True),
        **{
            f"--{word}": Option("unsupported", "conntrack", negated=True)
            for word in (
                *("ctproto", "ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst", "ctorigsrcport", "ctorigdstport"),
                *("ctreplsrcport", "ctrepldstport", "ctstatus", "ctexpire", "ctdir"),
            )
        },
    },
    "state": {"--state": Option("states", "state", negated=True)},
    "mac": {"--mac-source": Option("source_mac", "mac", negated=True)},
    "mark": {"--mark": Option("mark", "mark", negated=True)},
    "limit": {"--limit": Option("limit", "limit"), "--limit-burst": Option("limit_burst", "limit")},
    "comment": {"--comment": Option("comment", "comment")},
    "iprange": {
        "--src-range": Option("source_range", "iprange", negated=True),
        "--dst-range": Option("destination_range", "iprange", negated=True),
    },
}
#: Matches that say nothing, and are refused by iptables, without one of their options.
NEED_AN_OPTION = frozenset(("multiport", "conntrack", "state", "mac", "mark", "comment", "iprange"))
MATCH_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}
#: The matches that are for one protocol.
MATCH_PROTOCOLS = {
    "tcp": "tcp",
    "udp": "udp",
    "sctp": "sctp",
    "dccp": "dccp",
    "icmp": "icmp",
    "icmp6": "ipv6-icmp",
}
_OTHER_MATCHES = (
    "addrtype ah bpf cgroup cluster connbytes connlabel connlimit connmark cpu devgroup dscp dst ecn esp eui64 frag "
    "hashlimit hbh helper hl ipcomp ipv6header ipvs length mh nfacct osf owner physdev pkttype policy quota rateest "
    "realm recent rpfilter rt set socket srh statistic string tcpmss time tos ttl u32 unclean"
)
#: iptables-extensions(8), "Match extensions", without those above.
MATCHES = frozenset(_OTHER_MATCHES.split())

TARGET_OPTIONS: dict[str, dict[str, Option]] = {
    "ACCEPT": {},
    "DROP": {},
    "RETURN": {},
    "REJECT": {"--reject-with": Option("answer", "REJECT")},
    "SNAT": {"--to-source": Option("translation", "SNAT")},
    "DNAT": {"--to-destination": Option("translation", "DNAT")},
    "MASQUERADE": {"--to-ports": Option("new_ports", "MASQUERADE")},
    "REDIRECT": {"--to-ports": Option("new_ports", "REDIRECT")},
    "LOG": {
        "--log-prefix": Option("log_prefix", "LOG"),
        "--log-level": Option("log_level", "LOG"),
        **{
            f"--log-{word}": Option("unsupported", "LOG", arguments=0)
            for word in ("tcp-sequence", "tcp-options", "ip-options", "uid", "macdecode")
        },
    },
    "MARK": {
        f"--{word}": Option(word.replace("-", "_"), "MARK")
        for word in ("set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark")
    },
    "CHECKSUM": {"--checksum-fill": Option("checksum_fill", "CHECKSUM", arguments=0)},
}
for _target in ("SNAT", "DNAT", "MASQUERADE", "REDIRECT"):
    TARGET_OPTIONS[_target] |= {
        f"--{_word}": Option("unsupported", _target, arguments=0) for _word in ("random", "random-fully", "persistent")
    }
_OTHER_TARGETS = (
    "AUDIT CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNPT DSCP ECN HL HMARK IDLETIMER LED MIRROR NETMAP NFLOG NFQUEUE "
    "NOTRACK QUEUE RATEEST SAME SECMARK SET SNPT SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG"
)
#: iptables-extensions(8), "Target extensions", without those above, and what iptables(8) has built in.
TARGETS = frozenset(_OTHER_TARGETS.split())

#: REJECT's answers by all their spellings; None: iptables has it and the model has not.
ANSWERS: dict[int, dict[str, Answer | None]] = {
    4: {
        "icmp-port-unreachable": Answer.PORT_UNREACHABLE,
        "port-unreach": Answer.PORT_UNREACHABLE,
        "icmp-host-unreachable": Answer.HOST_UNREACHABLE,
        "host-unreach": Answer.HOST_UNREACHABLE,
        "icmp-net-unreachable": Answer.NET_UNREACHABLE,
        "net-unreach": Answer.NET_UNREACHABLE,
        "icmp-admin-prohibited": Answer.ADMIN_PROHIBITED,
        "admin-prohib": Answer.ADMIN_PROHIBITED,
        "tcp-reset": Answer.TCP_RESET,
        "tcp-rst": Answer.TCP_RESET,
        "icmp-proto-unreachable": None,
        "proto-unreach": None,
        "icmp-net-prohibited": None,
        "net-prohib": None,
        "icmp-host-prohibited": None,
        "host-prohib": None,
    },
    6: {
        "icmp6-port-unreachable": Answer.PORT_UNREACHABLE,
        "port-unreach": Answer.PORT_UNREACHABLE,
        "icmp6-addr-unreachable": Answer.HOST_UNREACHABLE,
        "addr-unreach": Answer.HOST_UNREACHABLE,
        "icmp6-no-route": Answer.NET_UNREACHABLE,
        "no-route": Answer.NET_UNREACHABLE,
        "icmp6-adm-prohibited": Answer.ADMIN_PROHIBITED,
        "adm-prohibited": Answer.ADMIN_PROHIBITED,
        "tcp-reset": Answer.TCP_RESET,
        "icmp6-policy-fail": None,
        "policy-fail": None,
        "icmp6-reject-route": None,
        "reject-route": None,
    },
}

#: IANA, "Service Name and Transport Protocol Port Number Registry": those that rules are written with.
SERVICES = {
    "ftp-data": 20,
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "bootps": 67,
    "bootpc": 68,
    "tftp": 69,
    "http": 80,
    "www": 80,
    "pop3": 110,
    "sunrpc": 111,
    "ntp": 123,
    "imap": 143,
    "imap2": 143,
    "snmp": 161,
    "snmp-trap": 162,
    "bgp": 179,
    "ldap": 389,
    "https": 443,
    "syslog": 514,
    "dhcpv6-client": 546,
    "dhcpv6-server": 547,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "openvpn": 1194,
    "nfs": 2049,
    "mysql": 3306,
    "postgresql": 5432,
}

#: IANA, "Assigned Internet Protocol Numbers": what iptables-save may print by name and the model knows by number.
PROTOCOLS = {
    "st": 5,
    "egp": 8,
    "igp": 9,
    "hmp": 20,
    "xns-idp": 22,
    "rdp": 27,
    "iso-tp4": 29,
    "xtp": 36,
    "ddp": 37,
    "idpr-cmtp": 38,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    "idrp": 45,
    "rsvp": 46,
    "skip": 57,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "rspf": 73,
    "cphb": 73,
    "vmtp": 81,
    "eigrp": 88,
    "ospfigp": 89,
    "ax.25": 93,
    "etherip": 97,
    "encap": 98,
    "ipcomp": 108,
    "l2tp": 115,
    "isis": 124,
    "fc": 133,
    "mobility-header": 135,
    "ipv6-mh": 135,
    "mh": 135,
    "mpls-in-ip": 137,
    "manet": 138,
    "hip": 139,
    "shim6": 140,
    "wesp": 141,
    "rohc": 142,
}

#: The names of ICMP types that iptables has beside those of refnet.firewall.protocols; None: any type.
ICMP: dict[int, dict[str, str | None]] = {
    4: {
        "any": None,
        "ping": "8",
        "pong": "0",
        "source-route-failed": "3/5",
        "network-unknown": "3/6",
        "host-unknown": "3/7",
        "network-prohibited": "3/9",
        "host-prohibited": "3/10",
        "tos-network-unreachable": "3/11",
        "tos-host-unreachable": "3/12",
        "communication-prohibited": "3/13",
        "host-precedence-violation": "3/14",
        "precedence-cutoff": "3/15",
        "network-redirect": "5/0",
        "host-redirect": "5/1",
        "tos-network-redirect": "5/2",
        "tos-host-redirect": "5/3",
        "ttl-exceeded": "11",
        "ttl-zero-during-transit": "11/0",
        "ttl-zero-during-reassembly": "11/1",
        "ip-header-bad": "12/0",
        "required-option-missing": "12/1",
        "address-mask-request": "17",
        "address-mask-reply": "18",
    },
    6: {
        "any": None,
        "ping": "128",
        "pong": "129",
        "communication-prohibited": "1/1",
        "beyond-scope": "1/2",
        "address-unreachable": "1/3",
        "failed-policy": "1/5",
        "reject-route": "1/6",
        "ttl-exceeded": "3",
        "ttl-zero-during-transit": "3/0",
        "ttl-zero-during-reassembly": "3/1",
        "bad-header": "4/0",
        "unknown-header-type": "4/1",
        "unknown-option": "4/2",
        "mld-listener-query": "130",
        "mld-listener-report": "131",
        "mld-listener-done": "132",
        "mld-listener-reduction": "132",
    },
}
