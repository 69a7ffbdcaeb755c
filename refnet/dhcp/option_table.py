"""The options of DHCP and DHCPv6: numbers, names and types.

Names are dnsmasq's (``dnsmasq --help dhcp``, ``--help dhcp6``) where it has one, and else those of IANA's registries
"BOOTP Vendor Extensions and DHCP Options" and "DHCPv6 Option Codes", as words with hyphens. Names behind the first are
other usual ones for the same option.
"""

from __future__ import annotations

from typing import NamedTuple

from refnet.dhcp.option_types import (
    ADDRESS,
    ADDRESS_PAIRS,
    ADDRESSES,
    ADDRESSES6,
    DOMAIN,
    FLAG,
    NAMES,
    NTP6,
    OPAQUE,
    ROUTES,
    S32,
    SEARCH,
    SIP,
    STRINGS,
    TEXT,
    U8,
    U16,
    U16S,
    U32,
    OptionType,
)


class Definition(NamedTuple):
    """An option that is known."""

    code: int
    names: tuple[str, ...]
    type: OptionType

    @property
    def name(self) -> str:
        """Its name, the first where it has several."""
        return self.names[0]


_V4: tuple[tuple[int, str, OptionType], ...] = (
    # RFC 2132, 3: what BOOTP has told already.
    (1, "netmask subnet-mask", ADDRESS),
    (2, "time-offset", S32),
    (3, "router routers", ADDRESSES),
    (4, "time-server", ADDRESSES),
    (5, "name-server", ADDRESSES),
    (6, "dns-server domain-name-server domain-server", ADDRESSES),
    (7, "log-server", ADDRESSES),
    (8, "quotes-server cookie-server", ADDRESSES),
    (9, "lpr-server", ADDRESSES),
    (10, "impress-server", ADDRESSES),
    (11, "rlp-server", ADDRESSES),
    (12, "hostname host-name", TEXT),
    (13, "boot-file-size", U16),
    (14, "merit-dump-file", TEXT),
    (15, "domain-name", DOMAIN),
    (16, "swap-server", ADDRESS),
    (17, "root-path", TEXT),
    (18, "extension-path", TEXT),
    # RFC 2132, 4 to 7: IP, interfaces and TCP.
    (19, "ip-forward-enable", FLAG),
    (20, "non-local-source-routing", FLAG),
    (21, "policy-filter", ADDRESS_PAIRS),
    (22, "max-datagram-reassembly", U16),
    (23, "default-ttl", U8),
    (24, "mtu-timeout", U32),
    (25, "mtu-plateau", U16S),
    (26, "mtu interface-mtu", U16),
    (27, "all-subnets-local", FLAG),
    (28, "broadcast broadcast-address", ADDRESS),
    (29, "mask-discovery", FLAG),
    (30, "mask-supplier", FLAG),
    (31, "router-discovery", FLAG),
    (32, "router-solicitation", ADDRESS),
    (33, "static-route", ADDRESS_PAIRS),
    (34, "trailer-encapsulation", FLAG),
    (35, "arp-timeout", U32),
    (36, "ethernet-encap", FLAG),
    (37, "tcp-ttl", U8),
    (38, "tcp-keepalive", U32),
    (39, "tcp-keepalive-garbage", FLAG),
    # RFC 2132, 8: applications.
    (40, "nis-domain", TEXT),
    (41, "nis-server", ADDRESSES),
    (42, "ntp-server ntp-servers", ADDRESSES),
    (43, "vendor-encap vendor-specific", OPAQUE),
    (44, "netbios-ns", ADDRESSES),
    (45, "netbios-dd", ADDRESSES),
    (46, "netbios-nodetype", U8),
    (47, "netbios-scope", TEXT),
    (48, "x-windows-fs", ADDRESSES),
    (49, "x-windows-dm", ADDRESSES),
    (60, "vendor-class class-id", TEXT),
    (62, "netware-domain", TEXT),
    (63, "netware-option", OPAQUE),
    (64, "nis+-domain", TEXT),
    (65, "nis+-server", ADDRESSES),
    (66, "tftp-server server-name", TEXT),
    (67, "bootfile-name", TEXT),
    (68, "mobile-ip-home", ADDRESSES),
    (69, "smtp-server", ADDRESSES),
    (70, "pop3-server", ADDRESSES),
    (71, "nntp-server", ADDRESSES),
    (72, "www-server", ADDRESSES),
    (73, "finger-server", ADDRESSES),
    (74, "irc-server", ADDRESSES),
    (75, "streettalk-server", ADDRESSES),
    (76, "stda-server", ADDRESSES),
    # Later ones; where another RFC is not named, IANA's registry does.
    (77, "user-class", OPAQUE),
    (78, "directory-agent", OPAQUE),
    (79, "service-scope", OPAQUE),
    (83, "isns", OPAQUE),
    (85, "nds-servers", ADDRESSES),
    (86, "nds-tree-name", TEXT),
    (87, "nds-context", TEXT),
    (88, "bcmcs-domains", SEARCH),
    (89, "bcmcs-server", ADDRESSES),
    (93, "client-arch client-system", U16),
    (94, "client-interface-id client-ndi", OPAQUE),
    (95, "ldap", TEXT),
    (97, "client-machine-id", OPAQUE),
    (98, "user-auth", TEXT),
    (99, "geoconf-civic", OPAQUE),  # RFC 4776
    (100, "posix-timezone", TEXT),  # RFC 4833
    (101, "tzdb-timezone", TEXT),  # RFC 4833
    (108, "ipv6-only", U32),  # RFC 8925
    (112, "netinfo-address", ADDRESSES),
    (113, "netinfo-tag", TEXT),
    (114, "captive-portal", TEXT),  # RFC 8910
    (116, "auto-config", U8),  # RFC 2563
    (117, "name-service-search", U16S),  # RFC 2937
    (119, "domain-search", SEARCH),  # RFC 3397
    (120, "sip-server", SIP),  # RFC 3361
    (121, "classless-static-route", ROUTES),  # RFC 3442
    (122, "ccc", OPAQUE),
    (123, "geoconf", OPAQUE),  # RFC 6225
    (124, "vendor-class-identifying", OPAQUE),  # RFC 3925
    (125, "vendor-id-encap", OPAQUE),  # RFC 3925
    (128, "etherboot-signature", OPAQUE),
    (129, "call-server-address", OPAQUE),
    (136, "pana-agent", ADDRESSES),  # RFC 5192
    (137, "lost-server", SEARCH),  # RFC 5223
    (138, "capwap-ac", ADDRESSES),  # RFC 5417
    (139, "mos-address", OPAQUE),
    (140, "mos-domain", OPAQUE),
    (141, "sip-ua-domains", SEARCH),  # RFC 6011
    (142, "andsf-address", ADDRESSES),
    (143, "sztp-redirect", OPAQUE),  # RFC 8572
    (144, "geoloc", OPAQUE),
    (146, "rdnss-selection", OPAQUE),  # RFC 6731
    (147, "dots-name", OPAQUE),
    (148, "dots-address", ADDRESSES),
    (150, "tftp-server-address", ADDRESSES),  # RFC 5859
    (158, "pcp-server", OPAQUE),  # RFC 7291
    (159, "port-params", OPAQUE),
    (161, "mud-url", TEXT),  # RFC 8520
    (162, "dnr", OPAQUE),  # RFC 9463
    (208, "pxelinux-magic", OPAQUE),  # RFC 5071
    (209, "pxelinux-config-file", TEXT),
    (210, "pxelinux-path-prefix", TEXT),
    (211, "pxelinux-reboot-time", U32),
    (212, "6rd", OPAQUE),  # RFC 5969
    (213, "access-domain", NAMES),  # RFC 5986
    # For private use, and what everybody uses them for.
    (249, "ms-classless-static-route", ROUTES),
    (252, "wpad proxy-autodiscovery", TEXT),
)

_V6: tuple[tuple[int, str, OptionType], ...] = (
    (16, "vendor-class", OPAQUE),
    (17, "vendor-opts", OPAQUE),
    (21, "sip-server-domain", NAMES),  # RFC 3319
    (22, "sip-server", ADDRESSES6),
    (23, "dns-server dns-servers", ADDRESSES6),  # RFC 3646
    (24, "domain-search domain-list", NAMES),
    (27, "nis-server", ADDRESSES6),  # RFC 3898
    (28, "nis+-server", ADDRESSES6),
    (29, "nis-domain", NAMES),
    (30, "nis+-domain", NAMES),
    (31, "sntp-server", ADDRESSES6),  # RFC 4075
    (32, "information-refresh-time", U32),  # RFC 8415, 21.23
    (33, "bcmcs-domains", NAMES),  # RFC 4280
    (34, "bcmcs-server", ADDRESSES6),
    (36, "geoconf-civic", OPAQUE),  # RFC 4776
    (40, "pana-agent", ADDRESSES6),  # RFC 5192
    (41, "posix-timezone", TEXT),  # RFC 4833
    (42, "tzdb-timezone", TEXT),
    (50, "mip6-home-network", OPAQUE),
    (51, "lost-server", NAMES),  # RFC 5223
    (52, "capwap-ac", ADDRESSES6),  # RFC 5417
    (54, "mos-address", OPAQUE),
    (55, "mos-domain", OPAQUE),
    (56, "ntp-server", NTP6),  # RFC 5908
    (57, "access-domain", NAMES),  # RFC 5986
    (58, "sip-ua-domains", NAMES),  # RFC 6011
    (59, "bootfile-url", TEXT),  # RFC 5970
    (60, "bootfile-param", STRINGS),
    (61, "client-arch", U16S),
    (62, "client-interface-id", OPAQUE),
    (63, "geoloc", OPAQUE),
    (64, "aftr-name", NAMES),  # RFC 6334
    (65, "erp-local-domain", NAMES),  # RFC 6440
    (74, "rdnss-selection", OPAQUE),  # RFC 6731
    (75, "kerberos-principal", OPAQUE),
    (76, "kerberos-realm", TEXT),
    (77, "kerberos-default-realm", TEXT),
    (78, "kerberos-kdc", OPAQUE),
    (82, "sol-max-rt", U32),  # RFC 8415, 21.24
    (83, "inf-max-rt", U32),
    (84, "address-selection", OPAQUE),  # RFC 7078
    (86, "pcp-server", ADDRESSES6),  # RFC 7291
    (88, "dhcp4o6-server", ADDRESSES6),  # RFC 7341
    (94, "map-e", OPAQUE),  # RFC 7598
    (95, "map-t", OPAQUE),
    (96, "lightweight-4over6", OPAQUE),
    (103, "captive-portal", TEXT),  # RFC 8910
    (112, "mud-url", TEXT),  # RFC 8520
    (136, "sztp-redirect", OPAQUE),  # RFC 8572
    (143, "andsf-address", ADDRESSES6),
    (144, "dnr", OPAQUE),  # RFC 9463
)

#: What is known of each version's options, by their codes.
DEFINITIONS: dict[int, dict[int, Definition]] = {
    version: {code: Definition(code, tuple(names.split()), kind) for code, names, kind in rows}
    for version, rows in ((4, _V4), (6, _V6))
}
#: The codes of each version's options by their names.
CODES: dict[int, dict[str, int]] = {
    version: {name: one.code for one in found.values() for name in one.names} for version, found in DEFINITIONS.items()
}

_BY_CLIENT = "clients send it, and servers do not"
_BY_RELAY = "it is between relays and servers"
_BY_LEASE = "it follows from the lease: give lease_time"
_BY_QUERY = "it belongs to queries for leases (leasequery)"
#: Options that the protocol itself sends, with the reason why nobody else can.
OWN: dict[int, dict[int, str]] = {
    4: {
        0: "it fills gaps between options",
        50: _BY_CLIENT,
        51: _BY_LEASE,
        52: "the server says by it where options are",
        53: "it says what a message is",
        54: "the server says by it who it is",
        55: _BY_CLIENT,
        56: "the server says by it why it refuses",
        57: _BY_CLIENT,
        58: _BY_LEASE,
        59: _BY_LEASE,
        61: _BY_CLIENT,
        80: "it says how an answer has come about (RFC 4039)",
        81: "it answers what a client has asked of DNS (RFC 4702): give the host's name",
        82: _BY_RELAY,
        90: "it proves who has sent a message (RFC 3118)",
        91: _BY_QUERY,
        92: _BY_QUERY,
        118: _BY_CLIENT,
        145: _BY_CLIENT,
        **dict.fromkeys(range(151, 158), _BY_QUERY),
        220: _BY_CLIENT,
        221: _BY_RELAY,
        255: "it ends the options",
    },
    6: {
        0: "it is reserved",
        1: _BY_CLIENT,
        2: "the server says by it who it is",
        **dict.fromkeys((3, 4, 5, 25, 26), "leases are told by it"),
        6: _BY_CLIENT,
        7: "the server says by it how much it wants to be chosen",
        8: _BY_CLIENT,
        9: _BY_RELAY,
        11: "it proves who has sent a message",
        12: "the server says by it how it can be reached",
        13: "the server says by it how a request went",
        14: "it says how an answer has come about",
        15: _BY_CLIENT,
        18: _BY_RELAY,
        19: "it makes clients ask anew, which takes proof of who asks for it",
        20: "it makes clients ask anew, which takes proof of who asks for it",
        37: _BY_RELAY,
        38: _BY_RELAY,
        39: "it answers what a client has asked of DNS (RFC 4704): give the host's name",
        43: _BY_RELAY,
        **dict.fromkeys((44, 45, 46, 47, 48, 53), _BY_QUERY),
        66: _BY_RELAY,
        67: "leases are told by it",
        79: _BY_RELAY,
        80: _BY_RELAY,
        81: _BY_RELAY,
        87: "it carries DHCP for IPv4",
        135: _BY_RELAY,
    },
}
#: The names that those go by, so that asking for one by its name gets the reason as well.
OWN_NAMES: dict[int, dict[str, int]] = {
    4: {
        "pad": 0,
        "requested-address": 50,
        "lease-time": 51,
        "option-overload": 52,
        "message-type": 53,
        "server-identifier": 54,
        "parameter-request": 55,
        "message": 56,
        "max-message-size": 57,
        "t1": 58,
        "t2": 59,
        "client-id": 61,
        "rapid-commit": 80,
        "fqdn": 81,
        "agent-id": 82,
        "subnet-select": 118,
        "server-ip-address": 255,
        "end": 255,
    },
    6: {
        "client-id": 1,
        "server-id": 2,
        "ia-na": 3,
        "ia-ta": 4,
        "iaaddr": 5,
        "oro": 6,
        "preference": 7,
        "unicast": 12,
        "status": 13,
        "rapid-commit": 14,
        "user-class": 15,
        "fqdn": 39,
    },
}
