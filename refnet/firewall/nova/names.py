"""Names: of owners from programs', and of the model's chains from Nova's. None is ever cut."""

from __future__ import annotations

import hashlib
import os.path
import re

from refnet.errors import InvalidArgument
from refnet.firewall import values
from refnet.names import shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def owner_name(binary: str) -> str:
    """Return the owner for a program, by its name or path: the name itself where it can be one.

    Other names, and those of more than 16 characters, get a hash: no two programs are taken for one, as Nova's
    ``nova-api-metadata`` was for any program whose name began like it.

    Raises:
        InvalidArgument: it is no name.
    """
    name = os.path.basename(binary) if isinstance(binary, str) else ""
    if not name:
        raise InvalidArgument(f"{shown(binary)} is not the name of a program")
    try:
        return values.owner(name)
    except InvalidArgument:
        return _hashed(name, 16, 6)


def _hashed(name: str, most: int, digits: int) -> str:
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", name)[: most - digits - 1].lstrip("_-") or "x"
    return f"{readable}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:digits]}"


def see_name(name: object) -> None:
    """Refuse what cannot be a chain's name in Nova either.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(name, str) or not name.isprintable() or not name or " " in name or name[0] in "-!$":
        raise InvalidArgument(
            f"chain {shown(name)} is not possible: printable characters without blanks, the first not - or ! or $"
        )


def model_name(name: str) -> str:
    """Return the model's name of a chain: its own where that is possible."""
    return name if _NAME.fullmatch(name) else _hashed(name, values.MAX_CHAIN, 16)
