"""A DHCP manager as specs see it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.harness.base import UnderTest
from conformance.scratch import new_path
from refnet.dhcp.manager import DhcpManager
from refnet.errors import PermissionDenied, RefnetError, ToolMissing

#: Bytes of a file that a person would want to see.
_MOST = 1 << 16


class DhcpUnderTest(UnderTest):
    """A DHCP manager with a witness. Of every directory that a spec has used, all networks are stopped and forgotten.

    ``directory`` is the manager's; nobody has made it before the manager does.
    """

    def __init__(
        self,
        tested: type[DhcpManager],
        directory: str | Path | None = None,
        *,
        first: DhcpUnderTest | None = None,
        **options: Any,
    ) -> None:
        """Make an instance of the manager's class for a directory; ``first`` is the one that the spec was given."""
        if isinstance(options.get("firewall"), UnderTest):
            options["firewall"] = options["firewall"].driver
        own = new_path("dhcp") if directory is None else directory
        super().__init__(tested, own, **options)
        self._own = Path(own)
        self._is_closed = False
        #: What is removed when the spec is over, through the manager or not.
        self._scratch: list[Path] = first._scratch if first else [self._own]
        self._all: list[DhcpUnderTest] = first._all if first else []
        self._all.append(self)
        if first:
            # One list for all of them, since what one does another may undo.
            self.calls = first.calls

    def fresh(self, directory: str | Path | None = None, **options: Any) -> DhcpUnderTest:
        """Return another instance of the same class, with the same directory or another one."""
        own = self._own if directory is None else directory
        return DhcpUnderTest(self.driver_class, own, first=self._all[0], **options)

    def scratch(self) -> Path:
        """Make a directory for the spec's own use that every user can get into; it is removed when the spec is over."""
        path = new_path("dhcp")
        path.mkdir()
        path.chmod(0o755)
        self._scratch.append(path)
        return path

    def close(self) -> None:
        """Close the manager."""
        self._is_closed = True
        self._run("close", self.driver.close, (), {})

    def take_back(self) -> None:
        """Stop and forget, through the manager, the networks of all directories, close every instance, and clean up."""
        failed: list[RefnetError] = []
        # First those whose servers have rules of a firewall: the rules are to go with the servers.
        still_open = [one for one in self._all if not one._is_closed]
        still_open.sort(key=lambda one: getattr(one.driver, "firewall", None) is None)
        asked = {one._own for one in still_open}
        for path in dict.fromkeys(one._own for one in self._all):
            if path not in asked:
                still_open.append(self.fresh(path))
        for one in still_open:
            try:
                with contextlib.closing(one):
                    one._forget()
            except (ToolMissing, PermissionDenied):
                pass  # it could not have made anything either; what is left all the same, the state difference tells
            except RefnetError as error:
                failed.append(error)
        for path in self._scratch:
            shutil.rmtree(path, ignore_errors=True)
        if failed:
            raise failed[0]

    def evidence(self) -> Mapping[str, str]:
        """Return what is in the directories."""
        found = {}
        paths = [path for directory in dict.fromkeys(one._own for one in self._all) for path in directory.rglob("*")]
        for path in sorted(paths):
            with contextlib.suppress(OSError):
                if path.is_file():
                    found[f"dhcp-{'-'.join(path.parts[-3:])}.txt"] = path.read_bytes()[-_MOST:].decode(errors="replace")
        return found

    def _forget(self) -> None:
        for device in self._witness("networks() in the clean-up", self.driver.networks):
            self._witness(f"stop({device!r}, forget=True) in the clean-up", self.driver.stop, device, forget=True)
