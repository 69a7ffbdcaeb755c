"""Which system this is, and which half of the suite is for it."""

from __future__ import annotations

import importlib
import platform
from types import ModuleType

from conformance.errors import SuiteError

LINUX, FREEBSD = "Linux", "FreeBSD"
SYSTEMS = (LINUX, FREEBSD)

#: The system's name, as platform.system() gives it and reports have it.
NAME = platform.system()


def half(package: str) -> ModuleType:
    """Return the module of a package that is for this system, such as ``conformance.topology.freebsd``.

    Raises:
        SuiteError: the suite knows no such system.
    """
    if NAME not in SYSTEMS:
        raise SuiteError(f"specs run on {' and '.join(SYSTEMS)}, and this is {NAME or 'an unknown system'}")
    return importlib.import_module(f"{package}.{NAME.lower()}")
