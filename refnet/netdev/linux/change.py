"""Several requests as one change: carried out in order, and taken back in reverse when one of them fails."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from refnet.errors import NoAnswer
from refnet.netdev.linux.netlink import Channel, KernelError, Request

#: Refusals of an undoing that say that there is nothing left to undo.
_UNDONE = frozenset({errno.EEXIST, errno.EADDRNOTAVAIL, errno.ESRCH, errno.ENOENT, errno.ENODEV})


@dataclass(frozen=True, slots=True)
class Step:
    """One request, what it is for, and what takes it back.

    ``creates`` says that the undoing deletes by name: it is done only if the kernel has said that the thing is ours.
    ``request`` is None for a step that has only an undoing. A refusal with an errno in ``tolerated`` says that
    there was nothing to do, and so there is nothing to take back.
    """

    what: str
    request: Request | None
    undo: Request | None
    tolerated: frozenset[int] = frozenset()
    creates: bool = False


def carry_out(channel: Channel, steps: Sequence[Step]) -> list[KernelError]:
    """Carry out all steps at once, whichever of them is refused; return the refusals.

    The kernel works through them whole, even if the process is killed meanwhile.
    """
    asked = [(step, step.request) for step in steps if step.request is not None]
    refused = channel.refusals([request for _, request in asked])
    return [
        KernelError(error.errno, f"{asked[index][0].what}: {error.words}")
        for index, error in sorted(refused.items())
        if error.errno not in asked[index][0].tolerated
    ]


class Change:
    """A context in which steps are done; an exception that leaves it takes them back.

    ``left_over`` then holds what could not be taken back, in the kernel's words.
    """

    def __init__(self, channel: Channel) -> None:
        """Begin with nothing done."""
        self._channel = channel
        self._done: list[Step] = []
        self.left_over: list[str] = []

    def do(self, step: Step) -> None:
        """Carry out one step.

        Raises:
            KernelError: the kernel refused; its words say at what.
        """
        try:
            if step.request is not None:
                self._channel.ask(step.request)
        except KernelError as error:
            if error.errno in step.tolerated:
                return
            raise KernelError(error.errno, f"{step.what}: {error.words}") from None
        except BaseException:
            # No answer, or a signal while waiting for it: the kernel may have carried it out. Or it may have refused,
            # because something by that name was there before: that must not be deleted.
            if not step.creates:
                self._done.append(step)
            raise
        self._done.append(step)

    def __enter__(self) -> Change:
        """Return the change itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take everything back if an exception leaves the context."""
        if error is None:
            return
        for step in reversed(self._done):
            try:
                if step.undo is not None:
                    self._channel.ask(step.undo)
            except (KernelError, NoAnswer) as refusal:
                if not (isinstance(refusal, KernelError) and refusal.errno in _UNDONE):
                    self.left_over.append(f"{step.what}: {refusal}")
