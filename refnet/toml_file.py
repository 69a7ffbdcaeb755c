"""What reading refnet's TOML files has in common: the file, its tables, and errors that say where in it they are."""

from __future__ import annotations

import contextlib
import difflib
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

#: The most bytes of a file: many times what the largest ones have, and what a device such as /dev/zero ends at.
MAX_SIZE = 64 << 20


def document(path: str | Path, what: str) -> dict[str, Any]:
    """Read a file; ``-`` is the standard input. ``what`` it is ("rule file") is for messages.

    Raises:
        InvalidArgument: it cannot be read, is larger than 64 MiB, or is no TOML.
    """
    name = f"the {what} {shown(str(path))}"
    try:
        data = _content(path)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise InvalidArgument(f"{name} cannot be read: {words}") from None
    if len(data) > MAX_SIZE:
        raise InvalidArgument(f"{name} is larger than {MAX_SIZE >> 20} MiB: name a file of refnet's")
    return parsed(data, name)


def _content(path: str | Path) -> bytes:
    if str(path) != "-":
        with open(path, "rb") as file:
            return file.read(MAX_SIZE + 1)
    if sys.stdin is None:
        raise ValueError("this process has no standard input")
    return sys.stdin.buffer.read(MAX_SIZE + 1)


def parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """Return what a text in TOML says.

    Raises:
        InvalidArgument: it is no TOML; the message says where.
    """
    try:
        # Some editors write a byte order mark, which is none of the text.
        return tomllib.loads((text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        words = str(error)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        words = f"line {line} is not UTF-8 text (byte {error.object[error.start]:#04x})"
    except ValueError:
        words = "a number in it has thousands of digits"
    except RecursionError:
        words = "it is nested too deep"
    raise InvalidArgument(f"{what} is no TOML: {words}")


def tables(entry: Mapping[str, Any], name: str, *, within: str = "") -> Sequence[Mapping[str, Any]]:
    """Return the tables ``[[name]]``; none if there are none. ``within`` is the dotted name of what they belong to.

    Raises:
        InvalidArgument: it is something else.
    """
    found = entry.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InvalidArgument(f"{name} is not a list of tables: write [[{within and f'{within}.'}{name}]]")
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
        meant = nearest(unknown[0], names)
        raise InvalidArgument(f"{what} has an unknown key {shown(unknown[0])}: known are {', '.join(names)}{meant}")
    missing = [name for name in needed if name not in entry]
    if missing:
        raise InvalidArgument(f"{what} has no {missing[0]!r}, which is needed")


def nearest(word: object, known: Collection[str]) -> str:
    """Return `` (did you mean 'source'?)`` for a word that is nearly a known one, else nothing."""
    text = word[:64].lower().replace("_", "-") if isinstance(word, str) else ""
    found = difflib.get_close_matches(text, known, 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Put the place in the file before the message of an error that is about it."""
    try:
        yield
    except RefnetError as error:
        error.message = f"{place}: {error.message}"
        error.operation = None
        raise
