"""Wrong about names."""

from __future__ import annotations

import re
from typing import Any

from conformance.mutants import mutant
from refnet.errors import InvalidName
from refnet.netdev.driver import NetDevDriver


@mutant("name-cuts", "cuts a name that is too long", {"NM-01": "has taken the name 'sixteen-chars-xx'"})
def name_cuts(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device_exists(self, dev: str) -> bool:
            return bool(super().device_exists(dev[:15] if isinstance(dev, str) else dev))

    return Wrong


@mutant("name-strips", "takes white space off a name", {"NM-01": "has taken the name 'a\\n'"})
def name_strips(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def delete_net_dev(self, dev: str) -> None:
            super().delete_net_dev(dev.strip() if isinstance(dev, str) else dev)

    return Wrong


@mutant("name-counts-wrong", "takes 14 characters for the longest name", {"NM-02": "InvalidName"})
def name_counts_wrong(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            if isinstance(bridge, str) and len(bridge) > 14:
                raise InvalidName(f"{bridge!r} is too long")
            super().create_bridge(bridge, **options)

    return Wrong


@mutant("name-as-option", "fears a name that begins with a dash", {"NM-03": "InvalidName"})
def name_as_option(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_bridge(self, bridge: str, **options: Any) -> None:
            if isinstance(bridge, str) and bridge.startswith("-"):
                raise InvalidName(f"{bridge!r} looks like an option")
            super().create_bridge(bridge, **options)

    return Wrong


@mutant("name-by-prefix", "finds a device by the beginning of its name", {"NM-04": "device_exists('br') is True"})
def name_by_prefix(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device_exists(self, dev: str) -> bool:
            return any(super(Wrong, self).device_exists(dev + rest) for rest in ("", "1", "10"))

    return Wrong


@mutant("name-shown-raw", "repeats a bad name as it came", {"NM-05": "carries control characters on"})
def name_shown_raw(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def device_exists(self, dev: str) -> bool:
            if isinstance(dev, str) and not re.fullmatch(r"[\w.-]{1,15}", dev, re.ASCII):
                raise InvalidName(f"the name {dev} is not possible")
            return bool(super().device_exists(dev))

    return Wrong
