"""Which programs, started how, change nothing: the kernel does not tell its listeners of everything that is set."""

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Sequence

from conformance import system

#: Programs of FreeBSD that only ask, whatever they are told, and how the others look when they only ask.
_ASKERS = {"netstat", "jls", "kldstat", "procstat", "sockstat", "uname", "ps"}
_PFCTL_OPTIONS = "a:AdD:eF:f:ghi:I:K:k:mnNo:OPp:qRrs:S:t:T:vx:z"
_PFCTL_WRITING = {"-d", "-e", "-f", "-F", "-k", "-K", "-T", "-x", "-z"}
_IFCONFIG_OPTION = re.compile(r"-[aCdDklLmnuv]+|-[fgGj]")

#: On Linux the kernel tells of most that programs write, and what does not filter packets counts as asking; of these it
#: does not tell, or they may be such as nobody hears: legacy iptables, and whatever is named like it.
_TABLES = re.compile(
    r"(ip|ip6|eb|arp)tables(-legacy|-nft)?(-restore|-save|-translate)?|x?tables-\S*|ipset|nft|conntrack"
)
#: What of iptables, ebtables and arptables changes nothing.
_TABLES_ASKING = re.compile(r"-[vntwW0-9]*[LSChV]\S*|--(list|list-rules|check|help|version)\S*")
_TESTING = {"-t", "--test"}
_NFT_ASKING = {"list", "monitor", "describe", "export"}
_NFT_CHECKING = re.compile(r"-[a-zA-Z]*[chvV][a-zA-Z]*|--(check|help|version)")
_NFT_VALUED = {"-f", "--file", "-I", "--includepath", "-D", "--define"}
_CONNTRACK_ASKING = re.compile(r"-[LGESCVh]|--(dump|get|event|stats|count|version|help)")
_IPSET_ASKING = {"list", "save", "test", "version", "help", "-L", "-S", "-T", "--list", "--save", "--test"}


def only_asks(argv: Sequence[str], *, on: str = system.NAME) -> bool:
    """Whether a program changes nothing when it is started so, ``on`` one of :data:`.system.SYSTEMS`.

    On FreeBSD, what is not known to ask only counts as writing; on Linux, of programs that filter packets.
    """
    program, *words = argv
    name = os.path.basename(program)
    return _asks_linux(name, words) if on == system.LINUX else _asks_freebsd(name, words)


def _asks_linux(name: str, words: list[str]) -> bool:
    if not _TABLES.fullmatch(name):
        return True
    if name.endswith(("-save", "-translate")):
        return True
    if name.endswith("-restore"):
        return bool(_TESTING & {*words})
    if name == "nft":
        return _asks_nft(words)
    if name == "conntrack":
        return any(map(_CONNTRACK_ASKING.fullmatch, words))
    if name == "ipset":
        return any(word in _IPSET_ASKING for word in words)
    return any(map(_TABLES_ASKING.fullmatch, words))


def _asks_nft(words: list[str]) -> bool:
    while words:
        word = words.pop(0)
        if _NFT_CHECKING.fullmatch(word):
            return True
        if word in _NFT_VALUED and words:
            words.pop(0)
        elif not word.startswith("-"):
            # A command may be one argument of many words.
            return word.split()[0] in _NFT_ASKING
    return False


def _asks_freebsd(name: str, words: list[str]) -> bool:
    if name in _ASKERS:
        return True
    if name == "route":
        return next((word for word in words if not word.startswith("-")), "") in ("get", "show")
    if name == "sysctl":
        return not any("=" in word or word == "-f" for word in words)
    if name == "pfctl":
        return _asks_pfctl(words)
    if name != "ifconfig":
        return False
    # ifconfig [options] [interface [address family]]: more words, or a "create", set something.
    names = []
    while words:
        word = words.pop(0)
        if _IFCONFIG_OPTION.fullmatch(word):
            if word[-1] in "fgGj" and words:
                words.pop(0)
        elif word != "--":
            names.append(word)
    return len(names) <= 1 or names[1:] in (["inet"], ["inet6"], ["ether"], ["addr"])


def _asks_pfctl(words: Sequence[str]) -> bool:
    """Whether pfctl(8) shows (-s, -T show), or only parses (-n)."""
    try:
        found = dict(getopt.getopt(list(words), _PFCTL_OPTIONS)[0])
    except getopt.GetoptError:
        return False
    if "-n" in found or found.get("-T") in ("show", "test"):
        return True
    return "-s" in found and not _PFCTL_WRITING & found.keys()
