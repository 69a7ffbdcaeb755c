"""Plans, and carrying them out: steps of ``ip``, each with its way back, run as one process.

Everything is read and decided before the first step. A plan of several steps is one ``ip -batch``, and that is
not for speed alone: a call that is killed leaves a plan either not begun or in the hands of an ``ip`` that goes on
to its end. Addresses that are taken away in one step to be put back in a later one are never lost with their caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from refnet import process
from refnet.errors import CommandFailed, RefnetError, Unsupported
from refnet_iproute2.command import Words, typed

#: A command after each step: what it prints counts the steps that succeeded. ("Command failed -:3" would not do:
#: ``ip`` gives no such line when it exits at an argument that it does not understand.)
_MARK = "link show dev lo"
_MARKED = re.compile(r"^lo\b", re.MULTILINE)
#: What ``ip -batch`` takes as part of a word.
_WORD = re.compile(r"[^\s#'\"\\]+")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of ``ip`` and the command that takes it back (none: what takes back an earlier step does that).

    ``in_parts``: the command can fail with part of its work done (``ip link set`` with several properties), so that
    it is taken back when it fails, too.
    """

    do: Words
    undo: Words
    in_parts: bool = False


def apply(steps: Sequence[Step], *, capability: str = "iproute2") -> None:
    """Carry out ``steps``; if one fails, take back what was done, the latest first.

    ``capability`` is named by the :class:`~refnet.errors.Unsupported` of a kernel that cannot do them.

    Raises:
        Unsupported: a name or a label has a character that ``ip -batch`` takes for something else.
        RefnetError: of the type that fits what ``ip`` said.
    """
    if not steps:
        return
    script = _script([words for step in steps for words in (step.do, tuple(_MARK.split()))])
    try:
        if len(steps) == 1:
            process.run(("ip", *steps[0].do))
        else:
            process.run(("ip", "-brief", "-batch", "-"), stdin=script)
    except CommandFailed as failure:
        done = min(len(_MARKED.findall(failure.stdout)), len(steps) - 1)
        stopped = failure.status is None or failure.status < 0
        begun = done + 1 if stopped or steps[done].in_parts else done
        error = typed(failure, capability)
        error.message = f"{error.message} [ip {' '.join(steps[done].do)}]"
        # An ip that was stopped may or may not have finished its step: taking it back may find nothing to do.
        trouble = take_back(steps[:begun])
        if trouble and begun == done:
            error.message = f"{error.message}; and taking back what was done failed: {trouble}"
        raise error from failure
    except RefnetError:
        raise  # ip was not started
    except BaseException:
        # Interrupted, and ip was ended by that. How far it came is not known; a way back that has nothing to take
        # back fails without effect.
        take_back(steps)
        raise


def take_back(steps: Sequence[Step]) -> str:
    """Undo ``steps``, the latest first, each of them whatever the others do; return what failed, in ``ip``'s words."""
    script = _script([step.undo for step in reversed(steps) if step.undo])
    if not script:
        return ""
    try:
        process.run(("ip", "-force", "-batch", "-"), stdin=script)
    except RefnetError as error:
        return error.detail or str(error)
    return ""


def _script(commands: Sequence[Words]) -> str:
    for words in commands:
        for word in words:
            if not _WORD.fullmatch(word):
                raise Unsupported(f"{word!r} cannot be written for ip: {' '.join(words)}", capability="ip-batch")
    return "".join(" ".join(words) + "\n" for words in commands)
