"""What chains are called on the host, in the 28 bytes that iptables has for a name (XT_EXTENSION_MAXNAMELEN - 1)."""

from __future__ import annotations

import base64
import hashlib

MAX_NAME = 28
#: 50 bits: two of an owner's names that are cut are as good as never the same.
_HASH = 10


def prefix(owner: str) -> str:
    """Return what all names of an owner's chains begin with. A dot is in no owner's name, so no other's begin so."""
    return f"{owner}."


def of_chain(owner: str, chain: str) -> str:
    """Return the name on the host of a chain: as it is, or cut, with a hash of the whole behind ``~``."""
    name = prefix(owner) + chain
    return name if len(name) <= MAX_NAME else hashed(owner, chain, chain)


def auxiliary(owner: str, chain: str, rule: object) -> str:
    """Return the name of a rule's auxiliary chain: the same for an equal rule of the chain, in every process."""
    return hashed(owner, chain, f"{chain} {rule!r}", mark="+")


def hashed(owner: str, chain: str, content: str, mark: str = "~") -> str:
    """Return a name that begins like a chain's and is another for other content. No chain's name has the ``mark``."""
    digest = base64.b32encode(hashlib.sha256(content.encode()).digest())[:_HASH].decode().lower()
    return f"{(prefix(owner) + chain)[: MAX_NAME - _HASH - 1]}{mark}{digest}"
