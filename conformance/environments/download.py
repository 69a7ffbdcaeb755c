"""Getting one big file whose checksum is known: resumed where it was broken off, and never taken for what it is not."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

#: Seconds without a byte after which a connection counts as dead, and between two tries.
SILENCE = 60.0
_PAUSE = 2.0
#: Tries of one address that have brought nothing new.
_FUTILE = 3
_CHUNK = 1 << 20
#: Seconds between two words about how far it is.
_TELL = 10.0


class DownloadFailed(Exception):
    """The file could not be had from any address, or is not the one that was wanted; the message says why."""


def fetch(addresses: Sequence[str], target: Path, sha512: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Get a file from the first address that has it.

    What has come so far is in ``target`` with ``.part`` added, also after Ctrl-C and kill -9, and the next call goes on
    there. The file is under its own name when all of it is there and its checksum is right.

    Raises:
        DownloadFailed: no address has it, or its checksum is wrong; then what has come is removed.
        OSError: it cannot be written.
    """
    part = target.with_name(target.name + ".part")
    words = []
    for address in addresses:
        try:
            _get_all(address, part, say)
        except _Refused as refused:
            words.append(f"{address}: {refused}")
            continue
        say("looking at its checksum")
        found = sha512_of(part)
        if found == sha512:
            os.replace(part, target)
            return
        part.unlink()
        words.append(f"{address}: what came has another checksum: SHA-512 {found[:16]}…, expected {sha512[:16]}…")
    raise DownloadFailed("; ".join(words))


def sha512_of(path: Path) -> str:
    """Return the SHA-512 of a file, in hexadecimal."""
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


class _Refused(Exception):
    """An address that will not do."""


def _get_all(address: str, part: Path, say: Callable[[str], None]) -> None:
    """Get a file whole, in as many tries as bring something new."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise _Refused("it is no http or https address")
    futile = 0
    while True:
        before = _size(part)
        try:
            _get_some(address, part, say)
            return
        except urllib.error.HTTPError as error:
            # What a server has refused it will refuse again, but for its own troubles.
            if error.code < 500:
                raise _Refused(f"the server says {error.code} {error.reason}") from None
            words = f"the server says {error.code} {error.reason}"
        except urllib.error.URLError as error:
            words = f"it cannot be reached: {error.reason}"
        except (_Cut, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            words = f"the connection broke: {error or type(error).__name__}"
        futile = 0 if _size(part) > before else futile + 1
        if futile == _FUTILE:
            raise _Refused(words)
        say(f"{words}; going on from {_size(part) >> 20} MiB")
        time.sleep(_PAUSE)


class _Cut(Exception):
    """A connection that ended before all had come."""


def _get_some(address: str, part: Path, say: Callable[[str], None]) -> None:
    """Get what is lacking of a file in one connection.

    Raises:
        _Cut, urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError: it broke.
    """
    start = _size(part)
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE)  # noqa: S310  (the scheme was looked at)
    except urllib.error.HTTPError as error:
        # 416: there is nothing behind what has come already. If that is too much, its checksum will say so.
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return
        raise
    with response, part.open("ab") as file:
        if response.status != http.client.PARTIAL_CONTENT:  # a server that knows no ranges begins anew
            file.truncate(0)
            start = 0
        length = response.headers.get("Content-Length")
        whole = start + int(length) if length else None
        told = time.monotonic()
        come = start
        while data := response.read(_CHUNK):
            file.write(data)
            come += len(data)
            if time.monotonic() - told > _TELL:
                told = time.monotonic()
                say(f"{come >> 20} of {whole >> 20} MiB" if whole else f"{come >> 20} MiB")
    if whole is not None and come < whole:
        raise _Cut(f"after {come} of {whole} bytes")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
