"""What a report document is made of, so that a file that is none is refused with what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.spec import LEVELS
from conformance.verdict import Status


@dataclass(frozen=True, slots=True)
class Each:
    """An object whose values all have one shape, whatever its keys are."""

    shape: Any


#: A type, a tuple of the texts that are allowed, a list of one shape for each of its items, or a shape by key.
Shape = type | tuple[str, ...] | list[Any] | Each | Mapping[str, Any]

_ENVIRONMENT: Shape = {
    **dict.fromkeys(("name", "system", "kernel", "machine", "distribution", "python", "user"), str),
    "tools": dict,
    "details": dict,
}
_WORDS = ("conformant", "not conformant", "open", "error")

#: What a run says of itself beforehand (:mod:`conformance.facts`).
FACTS: Mapping[str, Any] = {
    "suite": {"version": str, "digest": str},
    "refnet": {"version": str, "digest": str},
    # By area; of those that the selected specs are of.
    "drivers": Each(
        {"class": str, "version": str, "digest": str, "known_deviations": dict, "bases": [str]},
    ),
    "environment": _ENVIRONMENT,
    "capabilities": Each({"area": str}),
}

#: What the pages rely on.
REPORT: Shape = {
    **FACTS,
    "command": [str],
    "started": str,
    "seconds": float,
    "seed": str,
    "manifest": {"hash": str, "levels": {level: [str] for level in LEVELS}, "areas": Each([str])},
    "runs": [{"environment": _ENVIRONMENT, "started": str, "seconds": float}],
    "areas": [str],
    "selected": [str],
    "specs": [
        {
            **dict.fromkeys(("id", "sentence", "area", "topic", "message", "worker", "traceback", "repeat"), str),
            "level": LEVELS,
            "status": tuple(status.value for status in Status),
            **{key: [str] for key in ("capabilities", "needs", "systems", "calls", "evidence")},
            **dict.fromkeys(("started", "seconds"), float),
            "run": int,
        }
    ],
    "heard_of": [str],
    "trouble": [str],
    "verdict": {
        "word": _WORDS,
        "areas": [str],
        "levels": [{"level": LEVELS, "word": _WORDS, "passed": int, "total": int}],
        "counts": dict,
        "missing": [str],
        "unexpected": [str],
    },
}
_NAMES = {str: "a text", int: "a whole number", float: "a number", dict: "an object"}


def check(value: Any, shape: Shape = REPORT, place: str = "the report") -> None:
    """See that a value has a shape; what is in it besides is nobody's business.

    Raises:
        ValueError: it has not; the message names the place.
    """
    if isinstance(shape, Mapping):
        _expect(isinstance(value, dict), place, "an object")
        for key, part in shape.items():
            _expect(key in value, place, f"an object with {key!r}")
            check(value[key], part, key if place == "the report" else f"{place}.{key}")
    elif isinstance(shape, Each):
        _expect(isinstance(value, dict), place, "an object")
        for key, item in value.items():
            check(item, shape.shape, key if place == "the report" else f"{place}.{key}")
    elif isinstance(shape, list):
        _expect(isinstance(value, list), place, "a list")
        for number, item in enumerate(value):
            check(item, shape[0], f"{place}[{number}]")
    elif isinstance(shape, tuple):
        _expect(isinstance(value, str) and value in shape, place, f"one of {', '.join(shape)}")
    else:
        accepted = (int, float) if shape is float else shape
        _expect(isinstance(value, accepted) and not isinstance(value, bool), place, _NAMES[shape])


def see_areas(report: Mapping[str, Any]) -> None:
    """See that a document of the right shape names a driver for each of its specs.

    Raises:
        ValueError: it does not.
    """
    for entry in report["specs"]:
        _expect(entry["area"] in report["drivers"], "drivers", f"an object with {entry['area']!r}, for {entry['id']}")


def _expect(condition: bool, place: str, what: str) -> None:
    if not condition:
        raise ValueError(f"{place} should be {what}")
