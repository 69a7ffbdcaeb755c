"""Wrong drivers, made on purpose: each has to be caught, by the specs that claim it and with the words they promise."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.errors import SuiteError
from conformance.system import LINUX
from refnet.netdev.driver import NetDevDriver

#: Makes a wrong driver out of a right one.
Builder = Callable[[Any], type[NetDevDriver]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong driver: what is wrong with it, and for each spec that catches it, words of that spec's message."""

    name: str
    wrong: str
    kills: Mapping[str, str]
    builder: Builder
    #: The systems that it is run on. Each has its own: what shows on one that a spec can fail, shows it for all.
    systems: tuple[str, ...] = (LINUX,)


_registry: dict[str, Mutant] = {}


def mutant(
    name: str, wrong: str, kills: Mapping[str, str], *, systems: Sequence[str] = (LINUX,)
) -> Callable[[Builder], Builder]:
    """Register a function that derives a wrong driver class from the class it is given."""

    def register(builder: Builder) -> Builder:
        if name in _registry:
            raise SuiteError(f"two mutants are called {name}")
        _registry[name] = Mutant(name, wrong, dict(kills), builder, tuple(systems))
        return builder

    return register


@functools.cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return all mutants, sorted by name."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return tuple(sorted(_registry.values(), key=lambda one: one.name))


def named(name: str) -> Mutant:
    """Return a mutant by its name."""
    all_mutants()
    return _registry[name]


@functools.cache
def build(name: str, base: type[NetDevDriver]) -> type[NetDevDriver]:
    """Return the class of a mutant, derived from the driver under test."""
    made = named(name).builder(base)
    made.__qualname__ = f"mutant {name}"
    return made
