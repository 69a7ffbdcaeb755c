"""The rules that Nova's own programs added (Liberty: network host, security groups): family, table, chain, text.

One of each form that its code can write, with the addresses and devices of an example cloud.
"""

STANDING = [
    (4, "filter", "sg-fallback", "-j DROP"),
    (6, "filter", "sg-fallback", "-j DROP"),
]
GATEWAY = [
    (4, "filter", "FORWARD", "--in-interface br100 -j ACCEPT"),
    (4, "filter", "FORWARD", "--out-interface br100 -j ACCEPT"),
    (4, "filter", "FORWARD", "--in-interface br100 -j DROP"),
    (4, "filter", "FORWARD", "--out-interface br100 -j DROP"),
    (4, "filter", "FORWARD", "--in-interface br100 --out-interface br100 -j ACCEPT"),
    (4, "filter", "FORWARD", "--in-interface br100 --out-interface eth0 -j ACCEPT"),
    (4, "filter", "FORWARD", "--in-interface eth0 --out-interface br100 -j ACCEPT"),
]
DNSMASQ = [
    (4, "filter", "INPUT", f"-i br100 -p {protocol} -m {protocol} --dport {port} -j ACCEPT")
    for protocol in ("udp", "tcp")
    for port in (67, 53)
] + [(4, "mangle", "POSTROUTING", "-o br100 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill")]
METADATA = [
    (
        *(4, "nat", "PREROUTING"),
        "-s 0.0.0.0/0 -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.1:8775",
    ),
    (4, "nat", "PREROUTING", "-s 0.0.0.0/0 -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8775"),
    (4, "filter", "INPUT", "-p tcp -m tcp --dport 8775 -d 192.0.2.1 -j ACCEPT"),
    (4, "filter", "INPUT", "-p tcp -m tcp --dport 8775 -m addrtype --dst-type LOCAL -j ACCEPT"),
    (6, "filter", "INPUT", "-p tcp -m tcp --dport 8775 -d 2001:db8::1 -j ACCEPT"),
    (6, "filter", "INPUT", "-p tcp -m tcp --dport 8775 -m addrtype --dst-type LOCAL -j ACCEPT"),
]
NAT = [
    (4, "nat", "snat", "-s 10.0.0.0/16 -d 0.0.0.0/0 -j SNAT --to-source 203.0.113.1"),
    (4, "nat", "snat", "-s 10.0.0.0/16 -d 0.0.0.0/0 -j SNAT --to-source 203.0.113.1 -o eth0"),
    (4, "nat", "snat", "-s 10.0.0.0/16 -d 198.51.100.0/24 -j SNAT --to-source 203.0.113.1"),
    (4, "nat", "POSTROUTING", "-s 10.0.0.0/16 -d 192.0.2.1/32 -j ACCEPT"),
    (4, "nat", "POSTROUTING", "-s 10.0.0.0/16 -d 10.128.0.0/24 -j ACCEPT"),
    (4, "nat", "POSTROUTING", "-s 10.0.0.0/16 -d 10.0.0.0/16 -m conntrack ! --ctstate DNAT -j ACCEPT"),
]
VPN = [
    (4, "filter", "FORWARD", "-d 10.0.0.2 -p udp --dport 1194 -j ACCEPT"),
    (4, "nat", "PREROUTING", "-d 203.0.113.9 -p udp --dport 1000 -j DNAT --to 10.0.0.2:1194"),
    (4, "nat", "OUTPUT", "-d 203.0.113.9 -p udp --dport 1000 -j DNAT --to 10.0.0.2:1194"),
]
FLOATING = [
    (4, "nat", "float-snat", "-s 10.0.0.3 -j SNAT --to 203.0.113.3"),
    (4, "nat", "float-snat", "-s 10.0.0.3 -j SNAT --to 203.0.113.3 -d 10.0.0.3"),
    (4, "nat", "float-snat", "-s 10.0.0.3 -j SNAT --to 203.0.113.3 -o eth0"),
    (4, "nat", "PREROUTING", "-d 203.0.113.3 -j DNAT --to 10.0.0.3"),
    (4, "nat", "OUTPUT", "-d 203.0.113.3 -j DNAT --to 10.0.0.3"),
    (4, "nat", "POSTROUTING", "-s 10.0.0.3 -m conntrack --ctstate DNAT -j SNAT --to-source 203.0.113.3"),
]
_DHCP_REQUEST = "-s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j ACCEPT"
SECURITY_GROUPS = [
    (4, "filter", "INPUT", _DHCP_REQUEST),
    (4, "filter", "FORWARD", _DHCP_REQUEST),
    (4, "filter", "local", "-d 10.0.0.3 -j $inst-7"),
    (6, "filter", "local", "-d 2001:db8::3 -j $inst-7"),
    (4, "filter", "inst-7", "-m state --state INVALID -j DROP"),
    (6, "filter", "inst-7", "-m state --state INVALID -j DROP"),
    (4, "filter", "inst-7", "-m state --state ESTABLISHED,RELATED -j ACCEPT"),
    (6, "filter", "inst-7", "-m state --state ESTABLISHED,RELATED -j ACCEPT"),
    (4, "filter", "inst-7", "-j $provider"),
    (6, "filter", "inst-7", "-j $provider"),
    (4, "filter", "inst-7", "-s 10.0.0.1 -p udp --sport 67 --dport 68 -j ACCEPT"),
    (4, "filter", "inst-7", "-s 10.0.0.0/24 -j ACCEPT"),
    (6, "filter", "inst-7", "-s 2001:db8::/64 -j ACCEPT"),
    (6, "filter", "inst-7", "-s fe80::a00:1/128 -p icmpv6 -j ACCEPT"),
    (4, "filter", "inst-7", "-j ACCEPT -p tcp --dport 22 -s 0.0.0.0/0"),
    (4, "filter", "inst-7", "-j ACCEPT -p tcp -m multiport --dports 1:65535 -s 10.0.0.0/8"),
    (4, "filter", "inst-7", "-j ACCEPT -p udp -m multiport --dports 5000:5010 -s 10.9.8.7/32"),
    (4, "filter", "inst-7", "-j ACCEPT -p icmp -s 192.0.2.0/24"),
    (4, "filter", "inst-7", "-j ACCEPT -p icmp -m icmp --icmp-type 8 -s 192.0.2.0/24"),
    (4, "filter", "inst-7", "-j ACCEPT -p icmp -m icmp --icmp-type 3/4 -s 192.0.2.0/24"),
    (4, "filter", "inst-7", "-j ACCEPT -p icmp -m icmp --icmp-type 255/255 -s 198.51.100.0/24"),
    (4, "filter", "inst-7", "-j ACCEPT -s 10.0.0.9"),
    (6, "filter", "inst-7", "-j ACCEPT -p icmpv6 -s ::/0"),
    (6, "filter", "inst-7", "-j ACCEPT -p icmpv6 -m icmp6 --icmpv6-type 128/0 -s 2001:db8:1::/48"),
    (6, "filter", "inst-7", "-j ACCEPT -p tcp --dport 443 -s 2001:db8:2::5/128"),
    (4, "filter", "inst-7", "-j $sg-fallback"),
    (6, "filter", "inst-7", "-j $sg-fallback"),
    (4, "filter", "provider", "-p udp --source 198.51.100.7/32 -m udp --dport 53 -j DROP"),
    (4, "filter", "provider", "-p icmp --source 198.51.100.7/32 -m icmp --icmp-type 8 -j DROP"),
    (4, "filter", "provider", "-p tcp --source 198.51.100.0/24 -m multiport --dports 100:200 -j DROP"),
]

RULES = [*STANDING, *GATEWAY, *DNSMASQ, *METADATA, *NAT, *VPN, *FLOATING, *SECURITY_GROUPS]
