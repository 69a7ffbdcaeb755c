"""Packet filters of FreeBSD as an administrator and as somebody else has them: pf, by pfctl(8)."""

from __future__ import annotations

import contextlib
import ipaddress

from conformance.errors import SuiteError
from conformance.freebsd_shell import run, script

#: What an administrator has in pf.conf(5), in the order that pf wants: without the first line it drops all fragments.
REFERENCES = ("set reassemble yes", 'nat-anchor "refnet/*"', 'rdr-anchor "refnet/*"', 'anchor "refnet/*"')
#: Names of anchors have 63 bytes; the owner is part of others.
_MOST = 40


def prepare() -> None:
    """Switch pf on, with a main rule set that refers to refnet's anchors."""
    run(["sh", "-c", "pfctl -q -e 2>/dev/null || [ $(pfctl -s Running) = Enabled ]"])
    run(["pfctl", "-q", "-f", "-"], stdin="\n".join(REFERENCES))


def make_foreign(owner: str) -> None:
    """Add somebody else's rules to the main rule set, and in anchors; they let everything pass."""
    owner = owner[:_MOST]
    run(["pfctl", "-q", "-f", "-"], stdin="\n".join(_main(owner)))
    for anchor, lines in _anchors(owner).items():
        run(["pfctl", "-q", "-a", anchor, "-f", "-"], stdin="\n".join(lines))


def unmake_foreign(owner: str) -> None:
    """Take away what is left of them."""
    owner = owner[:_MOST]
    for anchor in _anchors(owner):
        _flush(anchor)
    with contextlib.suppress(SuiteError):
        run(["pfctl", "-q", "-f", "-"], stdin="\n".join(REFERENCES))
        run(["pfctl", "-q", "-t", owner, "-T", "kill"])


def _main(owner: str) -> list[str]:
    settings, nat, rdr, anchor = REFERENCES
    return [
        settings,
        f"table <{owner}> persist {{ 203.0.113.0/25, 192.0.2.7 }}",
        nat,
        f'nat-anchor "{owner}x"',
        rdr,
        anchor,
        f'anchor "{owner}x"',
        f'anchor "theirs/{owner}" in proto udp to port 2222',
        f'match in proto tcp from <{owner}> to any port 2222 label "not of {owner}, of somebody else"',
        f'match out proto tcp to port 2223 tag {owner} label "{owner}"',
    ]


def _anchors(owner: str) -> dict[str, list[str]]:
    return {
        f"{owner}x": [
            "no nat on lo0 inet from 203.0.113.1 to any",
            f'match proto udp to port 2222 label "{owner}-forward"',
            "match proto udp to port 2223",
        ],
        f"theirs/{owner}": [f"table <{owner}> persist {{ 192.0.2.9 }}", f"match from <{owner}>"],
        # Another owner's, whose name begins like the owner's.
        f"refnet/{owner}x": [f'match proto tcp to port 2222 label "refnet {owner}"', "match proto tcp to port 2223"],
    }


def flush() -> None:
    """Flush the main rule set, and every anchor, with tables and states."""
    for anchor in anchors():
        _flush(anchor)
    run(["pfctl", "-q", "-F", "all"], check=False)


def _flush(anchor: str) -> None:
    # Tables are not there in every anchor, which is told as an error.
    script(f"pfctl -q -a '{anchor}' -f /dev/null", f"pfctl -q -a '{anchor}' -F Tables", check=False)


def anchors() -> list[str]:
    """Return the names of all anchors, at every depth; those whose names pfctl keeps for itself are left out."""
    listed = run(["pfctl", "-q", "-v", "-s", "Anchors"], check=False).split()
    return [name for name in listed if "/_" not in name and not name.startswith("_")]


def connections(address: str) -> list[str]:
    """Return pf's states that have to do with an address, without what becomes of them."""
    wanted = ipaddress.ip_address(address)
    found = []
    for line in run(["pfctl", "-q", "-s", "states"], check=False).splitlines():
        words = line.split()
        ends = [word.strip("()") for word in words[2:-1] if word not in ("->", "<-")]
        if wanted in (_address(end) for end in ends):
            found.append(" ".join(words[:-1]))
    return sorted(found)


def _address(end: str) -> object:
    host = end.partition("[")[0]
    host = host.partition(":")[0] if host.count(":") == 1 else host
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
