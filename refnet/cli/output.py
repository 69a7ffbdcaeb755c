"""What the commands print: devices and tables for people, JSON for programs, and errors for both."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from refnet.errors import (
    AddressInUse,
    AlreadyEnslaved,
    AlreadyExists,
    AnchorNotReferenced,
    DumpInterrupted,
    InvalidArgument,
    KernelRefused,
    LeaseOfAnother,
    NoAnswer,
    NoSuchDevice,
    NotEnabled,
    NotRunning,
    PermissionDenied,
    RefnetError,
    RuleError,
    ServerFailed,
    SwitchRefused,
    SwitchUnreachable,
    TeardownFailed,
    Unsupported,
    WrongKind,
)

if TYPE_CHECKING:
    from refnet.netdev.driver import Address, Device


#: First words of commands that are about something else than devices, and are given no driver of those.
AREAS = ("firewall", "dhcp")


class UsageError(Exception):
    """The command line does not fit the command; ``prog`` is the command, as in ``refnet bridge create``."""

    def __init__(self, message: str, prog: str) -> None:
        """Keep the command, whose help says what would fit."""
        super().__init__(message)
        self.prog = prog


class PartlyDone(Exception):
    """A command of several steps failed at one (``error``) after others; ``done`` has what those have set."""

    def __init__(self, error: RefnetError, done: Mapping[str, Any]) -> None:
        """Keep the error and what stands."""
        super().__init__(str(error))
        self.error = error
        self.done = done


class Answer(NamedTuple):
    """What a command has to say: a document for programs and a text for people, empty where silence says it."""

    document: dict[str, Any]
    text: str = ""

    @classmethod
    def lines(cls, document: dict[str, Any], lines: Iterable[str]) -> Answer:
        """Answer with one line for each of ``lines``."""
        return cls(document, "".join(f"{printable(line)}\n" for line in lines))


def as_json(document: Mapping[str, Any]) -> str:
    """Return one document on one line, in ASCII."""
    # Words of a driver that are no text (its bug) are no reason to say nothing.
    return json.dumps(document, default=str) + "\n"


def printable(text: str) -> str:
    """Return text on one line and harmless for a terminal: a kernel takes nearly any byte in a device's name."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in joined)


# -- devices ----------------------------------------------------------------------------------------------


def device_document(device: Device) -> dict[str, Any]:
    """Return a device for JSON: its attributes by their names, addresses as text, lifetimes in seconds."""
    vlan = device.vlan
    return {
        "name": device.name,
        "kind": str(device.kind),
        "mac_address": device.mac_address,
        "mtu": device.mtu,
        "up": device.up,
        "carrier": device.carrier,
        "master": device.master,
        "vlan": {"tag": vlan.tag, "parent": vlan.parent} if vlan else None,
        "peer": device.peer,
        "multi_queue": device.multi_queue,
        "owner": device.owner,
        "group": device.group,
        "addresses": [
            {
                "address": str(address),
                "broadcast": address.broadcast,
                "label": address.label,
                "valid_lifetime": address.valid_lifetime,
                "preferred_lifetime": address.preferred_lifetime,
            }
            for address in device.addresses
        ],
    }


def device_text(device: Device) -> str:
    """Return a device as lines of key and value; what a device does not have has no line."""
    elsewhere = "in another network stack"
    rows: list[tuple[str, str | None]] = [
        ("name", device.name),
        ("kind", str(device.kind)),
        ("mac", device.mac_address),
        ("mtu", f"{device.mtu} bytes"),
        ("state", f"{'up' if device.up else 'down'}, {'carrier' if device.carrier else 'no carrier'}"),
        ("master", device.master),
        ("vlan", f"tag {device.vlan.tag} of {device.vlan.parent or f'a parent {elsewhere}'}" if device.vlan else None),
        ("peer", (device.peer or elsewhere) if str(device.kind) == "veth" else None),
        ("queues", None if device.multi_queue is None else "several" if device.multi_queue else "one"),
        ("owner", None if device.owner is None else f"uid {device.owner}"),
        ("group", None if device.group is None else f"gid {device.group}"),
    ]
    rows += [("address", row) for row in table([_address_row(address) for address in device.addresses])]
    return lines_of(rows)


def _address_row(address: Address) -> tuple[str, ...]:
    limited = address.valid_lifetime is not None or address.preferred_lifetime is not None
    facts = [
        f"broadcast {address.broadcast}" if address.broadcast else "",
        f"label {address.label}" if address.label else "",
        f"valid {_lifetime(address.valid_lifetime)}, preferred {_lifetime(address.preferred_lifetime)}"
        if limited
        else "",
    ]
    return str(address), "  ".join(fact for fact in facts if fact)


def _lifetime(seconds: int | None) -> str:
    return "forever" if seconds is None else f"{seconds} s"


def capabilities_text(reasons: Mapping[str, str | None]) -> str:
    """Return a table of capabilities: name, whether it is there, and the probe's words where it is not."""
    rows = [("CAPABILITY", "HERE", "WHY NOT")]
    rows += [(name, "no" if reason else "yes", reason or "") for name, reason in reasons.items()]
    return "".join(f"{row}\n" for row in table(rows))


def lines_of(rows: Iterable[tuple[str, str | None]]) -> str:
    """Return keys and values as lines; what has no value has no line."""
    return "".join(f"{row}\n" for row in table([(key, value) for key, value in rows if value is not None]))


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows with their columns aligned, two spaces apart."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


# -- errors -----------------------------------------------------------------------------------------------

#: The most characters of an error's line, before what to do next. Beginning and end stay: place, and what is possible.
_MOST = 2000

#: What to do next, by the error's type: the first that fits.
_NEXT = (
    (NoSuchDevice, "check the name, and that this runs in the right network stack"),
    (WrongKind, "choose another name, or see what it is with 'refnet device show'"),
    (PermissionDenied, "run it as root"),
    (NotEnabled, "give --enable, or have the system start pf"),
    (AnchorNotReferenced, "add the lines to pf.conf and load it: 'service pf reload'"),
    (RuleError, "nothing has changed"),
    (NotRunning, "'refnet dhcp start FILE' starts one"),
    (AddressInUse, "see who has it with 'ss -lunp' (FreeBSD: 'sockstat -l'), and stop it or use another address"),
    (SwitchRefused, "the switch's log may say more"),
    (ServerFailed, "the network's log may say more"),
    (LeaseOfAnother, "name its holder, or let it be"),
    ((NoAnswer, DumpInterrupted), "try again"),
    (KernelRefused, "the kernel's log may say more (dmesg)"),
)


def error_document(error: BaseException, options: Namespace) -> dict[str, Any]:
    """Return an error for JSON: always type, message, operation, device, errno and detail (None: not known)."""
    if isinstance(error, PartlyDone):
        document = error_document(error.error, options)
        document["error"]["done"] = dict(error.done)
        return document
    facts: dict[str, Any] = {
        "type": type(error).__name__,
        "message": getattr(error, "message", None) or _words(error),
        "operation": getattr(error, "operation", None) or getattr(options, "operation", None),
    }
    facts |= {name: getattr(error, name, None) for name in ("device", "errno", "detail")}
    # Errors that are about a bridge, a capability, a program or a lease's holder name it.
    facts |= {
        name: str(getattr(error, name)) for name in ("master", "capability", "tool", "holder") if hasattr(error, name)
    }
    if isinstance(error, TeardownFailed):
        facts["errors"] = [error_document(one, options)["error"] for one in error.errors]
    return {"error": facts}


def error_line(error: BaseException, options: Namespace) -> str:
    """Return an error as one line: what was wrong, and after a semicolon what to do next."""
    if isinstance(error, PartlyDone):
        done = ", ".join(f"{name}={value}" for name, value in error.done.items())
        return f"{error_line(error.error, options)}; what was set before that stays: {done}"
    words, next_step = _words(error), _next_step(error, options)
    if isinstance(error, RefnetError):
        # People know the command that they gave, not the driver's method.
        words = f"{options.prog.removeprefix('refnet ')}: {words.removeprefix(f'{error.operation}: ')}"
    words = printable(words)
    if len(words) > _MOST:
        words = f"{words[: _MOST // 2]} … {words[-_MOST // 2 :]}"
    return words + (f"; {next_step}" if next_step and next_step not in words else "")


def _area(options: Namespace) -> list[str]:
    """Return the word that commands of this one's subject begin with, if capabilities are asked for by it."""
    return [word for word in options.words.split(" ")[:1] if word in AREAS]


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, RefnetError | UsageError):
        return str(error)
    return f"a bug in refnet or in its driver: {type(error).__name__}: {error}"


def _next_step(error: BaseException, options: Namespace) -> str:
    if isinstance(error, UsageError):
        return f"see '{error.prog} --help'"
    if isinstance(error, InvalidArgument):
        return "choose another value" if error.errno else f"see '{options.prog} --help'"
    if isinstance(error, AlreadyEnslaved):
        by_hand = f"first 'refnet bridge remove-port -- {error.master} {error.device}'"
        if options.words.startswith("ovs "):
            by_hand = f"take it out of {error.master} first"
        return "give --move" if "move" in options else by_hand
    if isinstance(error, AlreadyExists) and error.operation == "create_bridge":
        return "'refnet bridge ensure' takes one that is there"
    if isinstance(error, SwitchUnreachable) and error.capability.startswith("ovs"):
        return "start it, or say with --ovsdb or REFNET_OVSDB where it is"
    if isinstance(error, Unsupported):
        command = " ".join(["refnet", *_area(options), "capabilities"])
        # A platform without any driver is no capability.
        return "" if error.capability.startswith("refnet.") else f"'{command}' says what can be done here"
    if isinstance(error, TeardownFailed):
        return next(filter(None, (_next_step(one, options) for one in error.errors)), "")
    if isinstance(error, RefnetError):
        return next((words for kind, words in _NEXT if isinstance(error, kind)), "")
    return "" if isinstance(error, KeyboardInterrupt) else "REFNET_DEBUG=1 shows where; please report it"
