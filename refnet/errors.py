"""The errors of refnet: typed, and saying operation, device, errno and the system's own words.

Everything that a caller, a host or a kernel can cause is a :class:`RefnetError`. Anything else that leaves
refnet is a bug in it.
"""

from __future__ import annotations

import errno as errno_module
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class RefnetError(Exception):
    """The root of all errors of refnet.

    ``operation`` is the method that was called, ``device`` the device that the message is about, ``errno`` the
    system's error number where there was one (see :mod:`errno`), ``detail`` the kernel's or the tool's own words.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        device: str | None = None,
        errno: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Keep the parts beside the sentence, so that a caller never has to parse it."""
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.device = device
        self.errno = errno
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Come whole through pickle and copy, on the way from another process for one."""
        return _restore, (type(self), self.args), vars(self)

    def __str__(self) -> str:
        """Give one line: operation, sentence, and in brackets errno and the system's words."""
        head = f"{self.operation}: {self.message}" if self.operation else self.message
        facts = []
        if self.errno:
            facts.append(errno_module.errorcode.get(self.errno, str(self.errno)))
        if self.detail and self.detail not in self.message:
            facts.append(self.detail)
        return f"{head} [{': '.join(facts)}]" if facts else head


class InvalidArgument(RefnetError, ValueError):
    """An argument that no system could honour, or that this kernel refuses by its value."""


class InvalidName(InvalidArgument):
    """A device name that is not 1 to 15 bytes of ``[A-Za-z0-9._-]``, or is ``.``, ``..``, ``all`` or ``default``."""


class NoSuchDevice(RefnetError):
    """A device that the call needs is not in this network namespace."""


class AlreadyExists(RefnetError):
    """The thing to be created is there."""


class Mismatch(AlreadyExists):
    """A device of the right kind is there, with a property that cannot be changed on a living device."""


class WrongKind(RefnetError):
    """A device by that name is there and is of another kind."""


class AlreadyEnslaved(RefnetError):
    """The port belongs to another bridge, named in ``master``; ``move=True`` would take it from there."""

    def __init__(self, message: str, *, master: str, **facts: str | int | None) -> None:
        """Keep the name of the bridge that holds the port."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.master = master


class Unsupported(RefnetError):
    """The driver, the kernel or the system cannot do this; ``capability`` names what is missing."""

    def __init__(self, message: str, *, capability: str, **facts: str | int | None) -> None:
        """Keep the name of the missing capability."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.capability = capability


class SwitchUnreachable(Unsupported):
    """No software switch answers: not installed, not started, stopped or hung; the message says where it was asked."""


class SwitchRefused(RefnetError):
    """The switch could not do what its database was told, which has been taken back; ``detail`` has its words."""


class PermissionDenied(RefnetError):
    """The process may not do this; the message says which privilege is missing."""


class KernelRefused(RefnetError):
    """The kernel refused for a reason that has no type of its own; ``errno`` and ``detail`` say which."""


class NoAnswer(RefnetError):
    """The kernel or a program did not answer within the time limit."""


class DumpInterrupted(RefnetError):
    """The kernel's tables changed during every one of a bounded number of attempts to list them."""


class LockTimeout(RefnetError):
    """Another process held a lock, refnet's or a tool's, for longer than the limit."""


class RuleError(RefnetError):
    """The packet filter refused a rule that looked possible; ``rule`` is what it was given, nothing has changed."""

    def __init__(self, message: str, *, rule: str, **facts: str | int | None) -> None:
        """Keep the rule as the tool was given it."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.rule = rule


class AnchorNotReferenced(RefnetError):
    """pf's main rule set does not call refnet's anchors: no packet would meet them; ``lines`` are to be added."""

    def __init__(self, message: str, *, lines: Sequence[str], **facts: str | int | None) -> None:
        """Keep the lines that pf.conf lacks, in the order that pf wants."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.lines = tuple(lines)


class NotEnabled(RefnetError):
    """The system's packet filter is switched off, so that no packet would meet the rules."""


class TeardownFailed(RefnetError):
    """Something could not be removed; everything else was. ``errors`` has all reasons."""

    def __init__(self, message: str, *, errors: Sequence[RefnetError], **facts: str | int | None) -> None:
        """Keep every error."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.errors = tuple(errors)


class NotRunning(RefnetError):
    """No server of refnet's runs on the device; the message says how the last one ended, if that is known."""


class ServerFailed(RefnetError):
    """The DHCP server did not start, or has ended; ``detail`` is the reason in its own words."""


class AddressInUse(ServerFailed):
    """Another program has the address and port that the DHCP server needs."""


class LeaseOfAnother(RefnetError):
    """The address is leased to another client, whose MAC address or DUID is ``holder``."""

    def __init__(self, message: str, *, holder: str, **facts: str | int | None) -> None:
        """Keep whose lease it is."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.holder = holder


class DriverNotFound(InvalidArgument):
    """No driver by that name or path, or it could not be imported; the message lists the names there are."""


class ToolMissing(RefnetError):
    """A program that the call needs is not installed; ``tool`` names it."""

    def __init__(self, message: str, *, tool: str, **facts: str | int | None) -> None:
        """Keep the name of the missing program."""
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.tool = tool


class CommandFailed(RefnetError):
    """A program ended with a status that its caller did not expect, or did not end in time.

    ``argv``, ``status`` (negative: the signal that ended it; None: it was stopped at the time limit), ``stdout``
    and ``stderr`` are kept whole.
    """

    def __init__(
        self, argv: Sequence[str], status: int | None, stdout: str, stderr: str, *, time_limit: float | None = None
    ) -> None:
        """Build the message from what the program said."""
        said = stderr.strip() or stdout.strip() or "it printed nothing"
        how = f"exited with {status}" if status is not None else f"did not end within {time_limit:g} s"
        super().__init__(f"{' '.join(argv)!r} {how}: {said}", detail=said)
        self.argv = tuple(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


def operation(method: Method) -> Method:
    """Decorate a driver's method so that every error that leaves it carries the method's name, and a device.

    The outermost method wins: what the caller called is what the caller reads. The device is the one that the error
    names already, else the method's first argument.
    """
    _, *parameters = inspect.signature(method).parameters

    @functools.wraps(method)
    def named(self: object, *args: object, **kwargs: object) -> object:
        try:
            return method(self, *args, **kwargs)
        except RefnetError as error:
            error.operation = method.__name__
            first = args[0] if args else kwargs.get(parameters[0]) if parameters else None
            # Not isinstance: a Capability is a str as well, and names no device.
            if error.device is None and type(first) is str:
                error.device = first
            raise

    return cast(Method, named)


def _restore(kind: type[RefnetError], args: tuple[Any, ...]) -> RefnetError:
    return kind.__new__(kind, *args)
