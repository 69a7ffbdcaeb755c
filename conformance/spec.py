"""What a spec is, and the manifest of all of them.

A spec is one normative sentence with an id that never changes, and the function that proves it::

    @spec("BR-04", "A frame to a learned address leaves by that address's port only.")
    def test_learned_unicast(netdev, net): ...
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from conformance import interfaces
from conformance.errors import SuiteError

Function = TypeVar("Function", bound=Callable[..., Any])

LEVELS = ("core", "full")
#: Seconds that one spec may take before it is stopped and counts as failed.
TIME_LIMIT = 180
_MANIFEST = Path(__file__).with_name("manifest.json")


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """One spec. ``capabilities`` are the driver's that it uses, ``needs`` the environment's (:mod:`.features`).

    ``area`` is that of the interface which it judges (:mod:`.interfaces`), ``topic`` the module in it. ``systems``
    are those that have what it is about, by their names in reports; empty: all.
    """

    id: str
    sentence: str
    level: str
    area: str
    topic: str
    capabilities: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()


def spec(
    spec_id: str,
    sentence: str,
    *,
    level: str = "core",
    capability: enum.Enum | Sequence[enum.Enum] = (),
    needs: Sequence[str] = (),
    systems: Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Make a test function the proof of a spec."""
    if level not in LEVELS:
        raise SuiteError(f"{spec_id}: level {level!r} is none of {LEVELS}")
    wanted = (capability,) if isinstance(capability, enum.Enum) else tuple(capability)

    def mark(function: Function) -> Function:
        *_, area, module = function.__module__.split(".")
        function.__refnet_spec__ = Spec(  # type: ignore[attr-defined]
            id=spec_id,
            sentence=sentence,
            level=level,
            area=area,
            topic=module.removeprefix("test_"),
            capabilities=tuple(str(one) for one in wanted),
            needs=tuple(needs),
            systems=tuple(systems),
        )
        return function

    return mark


def of(function: object) -> Spec | None:
    """Return the spec that a function proves, if it does."""
    return getattr(function, "__refnet_spec__", None)


@functools.cache
def collect() -> tuple[Spec, ...]:
    """Import all spec modules and return their specs, sorted by id.

    Raises:
        SuiteError: two specs have the same id.
    """
    import conformance.specs

    found: dict[str, Spec] = {}
    for module_info in pkgutil.walk_packages(conformance.specs.__path__, "conformance.specs."):
        if module_info.ispkg:
            continue
        for value in vars(importlib.import_module(module_info.name)).values():
            one = of(value)
            if one is None or value.__module__ != module_info.name:
                continue
            if one.id in found:
                raise SuiteError(f"two specs have the id {one.id}")
            found[one.id] = one
    return tuple(sorted(found.values()))


def manifest() -> tuple[Spec, ...]:
    """Return the specs that this version of the suite promises, from the file that is part of the package.

    It is written down apart from the modules, so that a spec that gets lost on the way (not packaged, not collected,
    not run) is missed.
    """
    entries: list[dict[str, Any]] = json.loads(_MANIFEST.read_text())
    lists = ("capabilities", "needs", "systems")
    return tuple(Spec(**{**entry, **{name: tuple(entry[name]) for name in lists}}) for entry in entries)


def manifest_text(specs: Sequence[Spec]) -> str:
    """Return the text of the manifest file for these specs."""
    return json.dumps([asdict(one) for one in specs], indent=1) + "\n"


def manifest_hash(specs: Sequence[Spec]) -> str:
    """Return the digest that a report carries: it changes with any id, level or sentence."""
    return hashlib.sha256(manifest_text(specs).encode()).hexdigest()


def areas_of(specs: Iterable[Spec]) -> tuple[str, ...]:
    """Return the areas that specs are of, in the order that reports have them."""
    return interfaces.ordered(one.area for one in specs)


def by_area(specs: Sequence[Spec]) -> dict[str, list[str]]:
    """Return the ids of specs by area."""
    return {area: [one.id for one in specs if one.area == area] for area in areas_of(specs)}


def select(
    specs: Sequence[Spec], *, only: Sequence[str] = (), level: str = "full", areas: Sequence[str] = ()
) -> tuple[Spec, ...]:
    """Return the specs of a run: those named in ``only``, or all up to a level; with ``areas``, of these areas only.

    Raises:
        ValueError: ``only`` names a spec that does not exist or is of another area; there is no such area.
    """
    areas = interfaces.ordered(areas)
    known = {one.id for one in specs}
    unknown = sorted(set(only) - known)
    if unknown:
        raise ValueError(f"no such spec: {', '.join(unknown)} ('refnet-conformance specs' lists them)")
    levels = LEVELS[: LEVELS.index(level) + 1]
    named = [one for one in specs if one.id in only or (not only and one.level in levels)]
    other = [one.id for one in named if only and areas and one.area not in areas]
    if other:
        raise ValueError(f"{', '.join(other)}: of another area than {' and '.join(areas)}")
    selected = tuple(one for one in named if not areas or one.area in areas)
    if areas and not selected:
        raise ValueError(f"there is no spec of {' or '.join(areas)} up to level {level}")
    return selected
