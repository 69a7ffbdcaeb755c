"""The one way to FreeBSD: its own programs, started through :mod:`refnet.process`, and the nodes in ``/dev``.

Everything that the driver asks of the system goes through :class:`Tools`, so that a test can put a transcript of the
real system in its place.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from refnet import process
from refnet.errors import CommandFailed, NoAnswer, PermissionDenied, RefnetError

#: Where the base system has its programs: a remote shell's PATH often lacks ``/sbin``.
_PLACES = {
    "ifconfig": "/sbin/ifconfig",
    "route": "/sbin/route",
    "sysctl": "/sbin/sysctl",
    "netstat": "/usr/bin/netstat",
    "sh": "/bin/sh",
}
#: Seconds for one program, and for each step of several.
_TIME_LIMIT, _TIME_PER_STEP = 60.0, 5.0
#: Every exit status is looked at by the caller.
_ANY = range(256)

#: What ``sh`` does with the steps on its standard input, three lines each: a command, what takes it back, and words of
#: a refusal that mean that there was nothing to do. It stops at the first failure, and takes all back in reverse.
#: The lines are split into words and nothing else: no line is ever evaluated. That it is one program means that no
#: kill of the calling process can come between two steps.
_IN_ORDER = r"""
set -f
number=0
undo=
while read -r step && read -r back && read -r fine; do
    number=$((number + 1))
    if [ -z "$step" ]; then
        outcome=done
    elif words=$($step 2>&1 </dev/null); then
        outcome=done
    elif [ -z "$fine" ]; then
        outcome=failed
    else
        case $words in
            *"$fine"*) outcome=nothing ;;
            *) outcome=failed ;;
        esac
    fi
    if [ "$outcome" = done ]; then
        undo="$back
$undo"
    elif [ "$outcome" = failed ]; then
        printf '%s\036%s\036' "$number" "$words"
        while read -r back; do
            [ -z "$back" ] || words=$($back 2>&1 </dev/null) || printf '%s\036%s\036' "$back" "$words"
        done <<END
$undo
END
        exit 1
    fi
done
exit 0
"""

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the command that takes it back.

    Without ``argv`` it is only something to be done on the way back. ``fine`` are words of a refusal that say that
    there was nothing to do, and so there is nothing to take back.
    """

    argv: Command
    undo: Command = ()
    fine: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node in ``/dev``: who may open it, and whether it is a mere link to another one."""

    uid: int
    gid: int
    mode: int
    is_link: bool


class Refusal(Exception):
    """A program would not: its words, which of several steps it was (from 1), and what could not be taken back."""

    def __init__(self, words: str, *, step: int = 1, left_over: Iterable[str] = ()) -> None:
        """Keep the parts."""
        super().__init__(words)
        self.words = words
        self.step = step
        self.left_over = tuple(left_over)


_own = threading.local()


def held_here() -> list[int]:
    """Return the descriptors of the locks that this thread holds: programs inherit them, and go on holding the locks.

    If this process is killed, the program that it has started still comes to its end, and nobody may begin before that.
    """
    if not hasattr(_own, "locks"):
        _own.locks = []
    found: list[int] = _own.locks
    return found


class Tools:
    """Programs and nodes of this system."""

    def run(self, argv: Command) -> process.Completed:
        """Run a program to its end, whatever its exit status.

        Raises:
            NoAnswer: it did not end in time.
            ToolMissing: it is not there.
        """
        return self._run(argv, None, _TIME_LIMIT)

    def do(self, argv: Command) -> str:
        """Run a program that has to succeed, and return what it printed.

        Raises:
            Refusal: it did not.
        """
        result = self.run(argv)
        if result.status:
            raise Refusal(words_of(result))
        return result.stdout

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Carry out all steps, or none: what was done is taken back when one of them fails.

        Raises:
            Refusal: one of them failed.
        """
        commands = [(number, step) for number, step in enumerate(steps, 1) if step.argv]
        try:
            if len(commands) > 1:
                self._carry_out_in_order(steps)
            elif commands:
                number, step = commands[0]
                self._carry_out_one(step, number, steps[: number - 1])
        except (Refusal, RefnetError):
            raise
        except BaseException:  # an interrupt: what was under way has been killed, nobody knows how far it came
            self.take_back(steps)
            raise

    def take_back(self, steps: Sequence[Step]) -> list[str]:
        """Undo steps in reverse order, and return what could not be undone, in the programs' words."""
        left = []
        for step in reversed(steps):
            if step.undo:
                result = self.run(step.undo)
                if result.status and not means_nothing_to_undo(words := words_of(result)):
                    left.append(f"{' '.join(step.undo)}: {words}")
        return left

    def nodes(self) -> frozenset[str]:
        """Return the names in ``/dev``."""
        return frozenset(os.listdir("/dev"))

    def node(self, name: str) -> Node | None:
        """Look at ``/dev/<name>``; None if it is not there.

        The directory is read first: to ask for a tap's node that is not there is to make that tap (tap(4),
        ``net.link.tap.devfs_cloning``).
        """
        if name not in self.nodes():
            return None
        path = f"/dev/{name}"
        try:
            is_link = stat.S_ISLNK(os.lstat(path).st_mode)
            found = os.stat(path)
        except OSError:
            return None
        return Node(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), is_link)

    def own_node(self, name: str, node: Node) -> None:
        """Give ``/dev/<name>`` an owner, a group and a mode.

        Raises:
            PermissionDenied: the system does not let this process.
        """
        path = f"/dev/{name}"
        try:
            os.chown(path, node.uid, node.gid)
            os.chmod(path, node.mode)
        except OSError as error:
            raise PermissionDenied(
                f"{path} cannot be given to user {node.uid} and group {node.gid}: {error.strerror}",
                errno=error.errno,
                detail=error.strerror,
            ) from None

    def _run(self, argv: Command, stdin: str | None, time_limit: float) -> process.Completed:
        try:
            program = [_PLACES[argv[0]], *argv[1:]]
            return process.run(program, stdin=stdin, time_limit=time_limit, expect=_ANY, keep=held_here())
        except CommandFailed as error:
            raise NoAnswer(error.message, detail=error.detail) from None

    def _carry_out_one(self, step: Step, number: int, before: Sequence[Step]) -> None:
        result = self.run(step.argv)
        if not result.status:
            return
        words = words_of(result)
        if not (step.fine and step.fine in words):
            raise Refusal(words, step=number, left_over=self.take_back(before))

    def _carry_out_in_order(self, steps: Sequence[Step]) -> None:
        lines = (line for step in steps for line in (_line(step.argv), _line(step.undo), step.fine))
        text = "".join(f"{line}\n" for line in lines)
        result = self._run(("sh", "-c", _IN_ORDER), text, _TIME_LIMIT + _TIME_PER_STEP * len(steps))
        if not result.status:
            return
        records = result.stdout.split("\036")[:-1]
        if not records:
            raise Refusal(words_of(result))
        number, words, *backs = records
        left = [
            f"{command}: {answer}"
            for command, answer in zip(backs[::2], backs[1::2], strict=True)
            if not means_nothing_to_undo(answer)
        ]
        raise Refusal(words, step=int(number), left_over=left)


def words_of(result: process.Completed) -> str:
    """Return what a program that failed said, in one line; ``route`` says it on its standard output."""
    said = result.stderr.strip() or result.stdout.strip() or f"it ended with status {result.status} and no word"
    return "; ".join(line.strip() for line in said.splitlines())


def means_nothing_to_undo(words: str) -> bool:
    """Whether a refusal of an undoing says that there is nothing left to undo."""
    return any(
        known in words
        for known in (
            "does not exist",
            "not in table",
            "already in table",
            "Can't assign requested address",
            "No such file or directory",
        )
    )


def _line(argv: Command) -> str:
    return " ".join((_PLACES[argv[0]], *argv[1:])) if argv else ""


def ifconfig(device: str, *words: str | int) -> Command:
    """Return the command that changes or shows one device.

    ``-n``: else ifconfig(8) would load a kernel module by the device's name. ``--``: a name may begin with a dash.
    """
    dashes = ("--",) if device.startswith("-") else ()
    return ("ifconfig", "-n", *dashes, device, *map(str, words))
