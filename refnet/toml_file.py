"""What reading refnet's TOML files has in common: the file, its tables, and errors that say where in it they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from refnet.errors import InvalidArgument, RefnetError
from refnet.names import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def document(path: str | Path, what: str) -> dict[str, Any]:
    """Read a file; ``-`` is the standard input. ``what`` it is ("rule file") is for messages.

    Raises:
        InvalidArgument: it cannot be read, or is no TOML.
    """
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"the {what} {shown(str(path))} cannot be read: {words}") from None
    return parsed(data, f"the {what} {shown(str(path))}")


def parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """Return what a text in TOML says.

    Raises:
        InvalidArgument: it is no TOML; the message says where.
    """
    try:
        return tomllib.loads(text.decode() if isinstance(text, bytes) else text)
    # RecursionError: brackets by the thousand.
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what} is no TOML: {error}") from None


def tables(entry: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return the tables ``[[name]]``; none if there are none.

    Raises:
        InvalidArgument: it is something else.
    """
    found = entry.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InvalidArgument(f"{name} is not a list of tables: write [[{name}]]")
    return found


def fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's keys as names of fields: with ``_`` for ``-``."""
    return {name.replace("-", "_"): value for name, value in entry.items()}


def known(entry: Mapping[str, Any], names: Collection[str], what: str, needed: Collection[str] = ()) -> None:
    """See that a table has no key but these, and those that it needs.

    Raises:
        InvalidArgument: a key is unknown or missing.
    """
    unknown = [name for name in entry if name not in names]
    if unknown:
        raise InvalidArgument(f"{what} has an unknown key {shown(unknown[0])}: known are {', '.join(names)}")
    missing = [name for name in needed if name not in entry]
    if missing:
        raise InvalidArgument(f"{what} has no {missing[0]!r}, which is needed")


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Put the place in the file before the message of an error that is about it."""
    try:
        yield
    except RefnetError as error:
        error.message = f"{place}: {error.message}"
        error.operation = None
        raise
