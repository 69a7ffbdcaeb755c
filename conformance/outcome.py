"""The outcome of one spec, as it travels from the worker that ran it to the process that judges."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.verdict import Status


@dataclass(slots=True)
class Outcome:
    """What became of a spec. ``mutant`` names the wrong driver that it was run against, if it was.

    ``message`` says why for anything but passed; ``started`` is in seconds since the epoch, ``seconds`` the time from
    set-up to clean-up; ``worker`` the process that ran it; ``evidence`` are files by name; ``calls`` are the driver's
    calls in order.
    """

    id: str
    status: Status
    message: str = ""
    started: float = 0.0
    seconds: float = 0.0
    worker: str = ""
    mutant: str | None = None
    traceback: str = ""
    calls: Sequence[str] = ()
    evidence: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells this outcome from others in a run."""
        return self.id, self.mutant

    def merge(self, phase: Outcome) -> None:
        """Take in the outcome of a later phase of the same spec: the worst counts, the first message stays.

        A phase that went well says nothing against another: set-up and clean-up of a spec that was refused go well,
        and it has still not passed.
        """
        self.seconds += phase.seconds
        if phase.message and phase.message not in self.message:
            self.message = f"{self.message}\nand then: {phase.message}" if self.message else phase.message
        remarkable = [status for status in (self.status, phase.status) if status is not Status.PASSED]
        self.status = Status.worst(remarkable) if remarkable else Status.PASSED
        self.traceback = self.traceback or phase.traceback
        self.calls = phase.calls or self.calls
        self.evidence = {**self.evidence, **phase.evidence}

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON and pytest's workers can carry."""
        return {
            "id": self.id,
            "status": self.status.value,
            "message": self.message,
            "started": round(self.started, 4),
            "seconds": round(self.seconds, 4),
            "worker": self.worker,
            "mutant": self.mutant,
            "traceback": self.traceback,
            "calls": list(self.calls),
            "evidence": {name: base64.b64encode(data).decode() for name, data in self.evidence.items()},
        }

    @classmethod
    def from_plain(cls, entry: dict[str, Any]) -> Outcome:
        """Return the outcome that :meth:`plain` was made of.

        Raises:
            ValueError: it was made of something else; what comes from elsewhere may be anything.
        """
        try:
            texts = [entry["id"], entry["message"], entry["worker"], entry["traceback"], *entry["calls"]]
            texts += [entry["mutant"]] if entry["mutant"] is not None else []
            numbers = [float(entry["started"]), float(entry["seconds"])]
            if not all(isinstance(text, str) for text in texts) or not all(map(math.isfinite, numbers)):
                raise ValueError("a field is of another type")
            evidence = {name: base64.b64decode(data) for name, data in entry["evidence"].items()}
            return cls(**{**entry, "status": Status(entry["status"]), "evidence": evidence})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
