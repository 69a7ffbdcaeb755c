"""Wrong drivers, made on purpose: each has to be caught, by the specs that claim it and with the words they promise.

Those of network devices are modules here; each other interface has a package of its own, by the name of its area.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance import interfaces
from conformance.errors import SuiteError
from conformance.system import LINUX

_FIRST = next(iter(interfaces.ALL))

#: Makes a wrong driver out of a right one.
Builder = Callable[[Any], type]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong driver: what is wrong with it, and for each spec that catches it, words of that spec's message."""

    name: str
    wrong: str
    kills: Mapping[str, str]
    builder: Builder
    #: The systems that it is run on. Each has its own: what shows on one that a spec can fail, shows it for all.
    systems: tuple[str, ...] = (LINUX,)
    #: The area of the interface that it gets wrong, and that the specs which catch it are of.
    area: str = _FIRST
    #: The classes of refnet, by name, of which one has to be the class under test or a base of it: the builder relies
    #: on how they work inside. Empty: any class will do.
    bases: tuple[str, ...] = ()

    def elsewhere(self, system: str, bases: Sequence[str]) -> str:
        """Return why it cannot be built on this system and on a class with these bases of refnet's; "": it can."""
        if self.systems and system not in self.systems:
            return f"the wrong driver is about {' and '.join(self.systems)}, and this is {system}"
        if self.bases and not set(self.bases) & set(bases):
            return f"the wrong driver is made from {' or '.join(self.bases)}, and the class under test is none"
        return ""


_registry: dict[str, Mutant] = {}


def mutant(
    name: str,
    wrong: str,
    kills: Mapping[str, str],
    *,
    systems: Sequence[str] = (LINUX,),
    area: str = "",
    bases: Sequence[str] = (),
) -> Callable[[Builder], Builder]:
    """Register a function that derives a wrong class from the class it is given.

    ``area`` is that of the package which the function is in, if it is not given.
    """

    def register(builder: Builder) -> Builder:
        if name in _registry:
            raise SuiteError(f"two mutants are called {name}")
        place = builder.__module__.removeprefix(f"{__name__}.").partition(".")[0]
        of = area or (place if place in interfaces.ALL else _FIRST)
        _registry[name] = Mutant(name, wrong, dict(kills), builder, tuple(systems), of, tuple(bases))
        return builder

    return register


@functools.cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return all mutants, sorted by name."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return tuple(sorted(_registry.values(), key=lambda one: one.name))


def named(name: str) -> Mutant:
    """Return a mutant by its name."""
    all_mutants()
    return _registry[name]


@functools.cache
def build(name: str, base: type) -> type:
    """Return the class of a mutant, derived from the class under test."""
    made = named(name).builder(base)
    made.__qualname__ = f"mutant {name}"
    return made
