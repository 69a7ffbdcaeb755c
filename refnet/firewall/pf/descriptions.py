"""Rules as words in pf's labels: what makes it possible to read back as rules what pf keeps in a form of its own.

A label has 63 bytes, a rule of pf five of them (sys/netpfil/pf/pf.h: PF_RULE_LABEL_SIZE, PF_RULE_MAX_LABEL_COUNT),
and pfctl replaces ``$if``, ``$nr`` and the like in them: so that no ``$`` may be left in what a user wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from refnet.errors import InvalidArgument
from refnet.firewall.actions import (
    ACCEPT,
    CHECKSUM_FILL,
    DROP,
    RETURN,
    Action,
    Answer,
    Dnat,
    Jump,
    Log,
    Masquerade,
    Redirect,
    Reject,
    SetMark,
    Snat,
)
from refnet.firewall.rules import Rule
from refnet.firewall.values import AnyOf, Not, PortRange

LABEL = 63
#: Labels of one rule of pf that are left for words, beside the one that says which rule it is.
LABELS = 4
_PLAIN: dict[str, Action] = {"accept": ACCEPT, "drop": DROP, "return": RETURN, "checksum": CHECKSUM_FILL}
_FIELDS = {
    "s": "source",
    "d": "destination",
    "p": "source_ports",
    "q": "destination_ports",
    "i": "in_interface",
    "o": "out_interface",
    "t": "states",
}


def described(rule: Rule) -> str:
    """Return a rule in one line of words, from which :func:`understood` makes it again."""
    words = [_action(rule.action)]
    if rule.family is not None:
        words.append(f"f={rule.family}")
    if rule.protocol is not None:
        words.append(f"n={rule.protocol}")
    for letter, name in _FIELDS.items():
        value: AnyOf[object] | None = getattr(rule, name)
        if value is not None:
            words.append(f"{letter}={'!' if value.negated else ''}{','.join(str(one) for one in value.values)}")
    if rule.icmp_type is not None:
        words.append(f"y={rule.icmp_type}")
    if rule.comment is not None:
        words.append(f"c={_hidden(rule.comment)}")
    return " ".join(words)


def understood(words: str) -> Rule:
    """Return the rule that was described.

    Raises:
        InvalidArgument: these are no such words.
    """
    try:
        return _understood(words)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidArgument(f"no rule is described by {words!r}: {error}") from None


def _understood(words: str) -> Rule:
    head, _, rest = words.partition(" ")
    prefix = None
    if head == "log" and rest.startswith("L="):
        prefix, _, rest = rest[2:].partition("|")
        rest = rest.strip()
    comment = None
    if (at := f" {rest}".find(" c=")) >= 0:
        rest, comment = rest[: max(0, at - 1)], _shown(rest[at + 2 :])
    found: dict[str, object] = {"comment": comment}
    for word in rest.split():
        letter, _, value = word.partition("=")
        if letter == "f":
            found["family"] = int(value)
        elif letter == "n":
            found["protocol"] = value
        elif letter == "y":
            found["icmp_type"] = value
        else:
            values = value.lstrip("!").split(",")
            found[_FIELDS[letter]] = Not(*values) if value.startswith("!") else values
    action = Log(_shown(prefix)) if prefix is not None else _meant(head)
    return Rule(action, **found)  # type: ignore[arg-type]


def _action(action: Action) -> str:
    for name, plain in _PLAIN.items():
        if action == plain:
            return name
    match action:
        case Reject(answer):
            return f"reject:{answer}"
        case Jump(chain):
            return f"jump:{chain}"
        case Log(prefix):
            return f"log L={_hidden(prefix)}|" if prefix else "log"
        case Snat(address, ports) | Dnat(address, ports):
            return f"{type(action).__name__.lower()}:{address}" + (f"@{ports}" if ports else "")
        case Redirect(ports):
            return f"redirect:@{ports}"
        case Masquerade(ports):
            return f"masquerade:@{ports}" if ports else "masquerade:"
        case SetMark(value, mask):
            return f"mark:{value}@{mask}"
    raise AssertionError(action)


def _meant(head: str) -> Action:
    if head in _PLAIN:
        return _PLAIN[head]
    kind, _, value = head.partition(":")
    address, _, ports = value.partition("@")
    if kind == "log":
        return Log()
    if kind == "reject":
        return Reject(Answer(value))
    if kind == "jump":
        return Jump(value)
    if kind == "mark":
        return SetMark(int(address), int(ports))
    given = _ports(ports) if ports else None
    if kind == "masquerade":
        return Masquerade(given)
    if kind == "redirect" and given is not None:
        return Redirect(given)
    return Snat(address, given) if kind == "snat" else Dnat(address, given)


def _ports(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return PortRange(int(first), int(last or first))


def _hidden(text: str) -> str:
    return text.replace("~", "~t").replace("$", "~d").replace("|", "~p")


def _shown(text: str) -> str:
    return text.replace("~p", "|").replace("~d", "$").replace("~t", "~")


def labels(words: str, lines: int) -> list[list[str]]:
    """Spread words over the labels of so many lines, for :func:`joined`; if they do not fit, there are none."""
    size = LABEL - len("000:")
    pieces = [f"{at:03d}:{words[start : start + size]}" for at, start in enumerate(range(0, len(words), size))]
    if len(pieces) > lines * LABELS or len(pieces) > 999:
        return [[] for _ in range(lines)]
    return [pieces[line * LABELS : (line + 1) * LABELS] for line in range(lines)]


def joined(pieces: Iterable[str]) -> str:
    """Put words together again, in whatever order their labels were read."""
    return "".join(piece[4:] for piece in sorted(set(pieces)))


def understood_or_text(pieces: Sequence[str], text: str) -> Rule | str:
    """Return the rule that labels describe, or where they do not, the tool's words for it."""
    try:
        return understood(joined(pieces))
    except InvalidArgument:
        return text
