"""From the status of every spec to a verdict. Pure: ``verify`` recomputes it from a report with the same function."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.spec import LEVELS, Spec


class Status(str, enum.Enum):
    """The outcome of a spec. The order is that of the design: of several outcomes the worst counts."""

    #: The spec does not apply to this system.
    NOT_APPLICABLE = "not-applicable"
    #: The capability is not there; that the driver refuses it properly has been exercised.
    UNSUPPORTED = "unsupported"
    PASSED = "passed"
    #: It failed, and the driver's author has said beforehand that it would.
    KNOWN_DEVIATION = "known-deviation"
    FAILED = "failed"
    #: The suite could not judge.
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Where it stands in the order."""
        return list(Status).index(self)

    @classmethod
    def worst(cls, statuses: Sequence[Status]) -> Status:
        """Return the worst of several."""
        return max(statuses, key=lambda status: status.rank)


class ExitStatus(enum.IntEnum):
    """What ``refnet-conformance`` ends with."""

    CONFORMANT = 0
    NOT_CONFORMANT = 1
    USAGE = 2
    NO_ENVIRONMENT = 3
    SUITE_FAILED = 4
    #: Ended by Ctrl-C, as a shell reports it.
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class LevelVerdict:
    """A level: ``conformant``, ``not conformant``, ``open`` (specs of it could not be run here) or ``error``."""

    level: str
    word: str
    passed: int
    total: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a run: one word, each level's, and how many specs ended how.

    ``areas`` are those that it is about, if it is not about all that the suite has specs of.
    """

    word: str
    levels: tuple[LevelVerdict, ...]
    counts: Mapping[str, int]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """What to add to the word where it is about some interfaces only."""
        return about(self.areas)

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status that goes with it."""
        return {
            "conformant": ExitStatus.CONFORMANT,
            "not conformant": ExitStatus.NOT_CONFORMANT,
        }.get(self.word, ExitStatus.SUITE_FAILED)


def about(areas: Sequence[str]) -> str:
    """Return what to add to the word of a verdict that is about these areas only; empty: it is about all."""
    return f" as to {' and '.join(areas)}" if areas else ""


def judge(
    specs: Sequence[Spec], selected: Sequence[str], statuses: Mapping[str, Status], areas: Sequence[str] = ()
) -> Verdict:
    """Judge a run in which ``selected`` of the manifest's ``specs`` were to be run.

    With ``areas``, levels have the specs of these only, and the verdict is about no others.

    A spec that was selected and has no status, or one that has a status and was not selected, is an error of the suite:
    nobody knows what happened to it. So is a run in which nothing was selected.
    """
    missing = tuple(sorted(set(selected) - set(statuses)))
    unexpected = tuple(sorted(set(statuses) - set(selected)))
    statuses = {**statuses, **dict.fromkeys(missing, Status.ERROR)}
    words = []
    levels = []
    for level in LEVELS:
        # A level includes those before it: "full" without "core" would mean nothing.
        included = LEVELS[: LEVELS.index(level) + 1]
        members = [one.id for one in specs if one.level in included and (not areas or one.area in areas)]
        levels.append(_judge_level(level, members, statuses))
    # Where nothing applies, nothing was judged.
    is_moot = all(status is Status.NOT_APPLICABLE for status in statuses.values())
    if unexpected or is_moot or Status.ERROR in statuses.values():
        words.append("error")
    if {Status.FAILED, Status.KNOWN_DEVIATION} & set(statuses.values()):
        words.append("not conformant")
    return Verdict(
        word=(words or ["conformant"])[0],
        levels=tuple(levels),
        counts=dict(Counter(status.value for status in statuses.values())),
        missing=missing,
        unexpected=unexpected,
        areas=() if set(areas) >= {one.area for one in specs} else tuple(areas),
    )


def _judge_level(level: str, members: Sequence[str], statuses: Mapping[str, Status]) -> LevelVerdict:
    found = [statuses.get(spec_id) for spec_id in members]
    # What is about another system is no part of the level on this one.
    found = [status for status in found if status is not Status.NOT_APPLICABLE]
    passed = found.count(Status.PASSED)
    if Status.ERROR in found:
        word = "error"
    elif Status.FAILED in found or Status.KNOWN_DEVIATION in found:
        word = "not conformant"
    elif not found or any(status in (None, Status.UNSUPPORTED) for status in found):
        word = "open"
    else:
        word = "conformant"
    return LevelVerdict(level, word, passed, len(found))
