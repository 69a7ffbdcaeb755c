"""How a virtual function was before refnet first changed it: a file for each, kept until it is put back.

They are where refnet's locks are, below /run: a restart of the host, which resets cards, ends them. They belong to the
card, whatever its name and its network namespace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
from pathlib import Path
from typing import Any

from refnet import locks
from refnet.errors import KernelRefused, PermissionDenied, RefnetError
from refnet.netdev.linux.functions import Function
from refnet.netdev.model import LinkState

_FORMAT = 1
_PLAIN = re.compile(r"[^A-Za-z0-9.:_-]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Saved:
    """The file of one virtual function. Whoever writes it holds the lock :attr:`lock`."""

    def __init__(self, identity: str, number: int) -> None:
        """Look at nothing yet."""
        self.lock = f"vf-{_PLAIN.sub('_', identity)}-{number}"
        folder = locks.directory()
        self._path = folder / f"{self.lock}.json"
        self._temporary = folder / f".{self.lock}.json.tmp"

    @property
    def is_there(self) -> bool:
        """Whether there is a file, be it the half of one that a killed process has left."""
        return self._path.exists() or self._temporary.exists()

    def keep(self, function: Function) -> bool:
        """Write down how it is, unless it is written down how it was; return whether it has been written.

        Raises:
            PermissionDenied, KernelRefused: it cannot be written.
            RefnetError: what is written down cannot be read.
        """
        if self.read() is not None:
            return False
        plain = dataclasses.asdict(function) | {"format": _FORMAT}
        try:
            with contextlib.suppress(FileNotFoundError):
                self._temporary.unlink()
            self._temporary.write_text(json.dumps(plain) + "\n")
            self._temporary.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            raise _refused(error, self._path, "written") from None
        return True

    def read(self) -> Function | None:
        """Return how it was; None: nothing is written down.

        Raises:
            PermissionDenied, KernelRefused: it cannot be read.
            RefnetError: what is in it, refnet has not written.
        """
        try:
            return _function(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(error, self._path, "read") from None
        except ValueError as error:  # what is no text and no JSON, too
            raise RefnetError(
                f"how the virtual function was before is not to be read in {self._path} ({error}): "
                f"set it as it should be, and remove the file"
            ) from None

    def forget(self) -> None:
        """Remove what is written down.

        Raises:
            PermissionDenied, KernelRefused: it cannot be removed.
        """
        for path in (self._temporary, self._path):
            try:
                path.unlink()
            except FileNotFoundError:
                pass
            except OSError as error:
                raise _refused(error, path, "removed") from None


def _function(plain: Any) -> Function:
    """Read what :meth:`Saved.keep` has written.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(plain, dict) or plain.pop("format", None) != _FORMAT:
        raise ValueError(f"it is not of format {_FORMAT}")
    expected = {field.name for field in dataclasses.fields(Function)}
    if plain.keys() != expected:
        raise ValueError(f"expected are {', '.join(sorted(expected))}")
    mac, state = plain["mac_address"], plain["link_state"]
    numbers = (plain["vlan"], plain["qos"], plain["protocol"])
    flags = (plain["spoof_check"], plain["trusted"])
    if not isinstance(mac, str) or not _MAC.fullmatch(mac):
        raise ValueError("the MAC address is none")
    if any(type(number) is not int or not 0 <= number <= 0xFFFF for number in numbers):
        raise ValueError("one of the numbers is none")
    if any(flag is not None and type(flag) is not bool for flag in flags):
        raise ValueError("one of the flags is none")
    return Function(**plain | {"link_state": LinkState(state) if state is not None else None})


def _refused(error: OSError, path: Path, what: str) -> RefnetError:
    kind = PermissionDenied if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else KernelRefused
    words = error.strerror or os.strerror(error.errno or errno.EIO)
    return kind(f"{path} cannot be {what}: {words}", errno=error.errno, detail=words)
