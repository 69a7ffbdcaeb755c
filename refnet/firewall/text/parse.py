"""iptables's text to a rule: what iptables-save prints, and what Nova, Neutron and people write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from refnet.errors import InvalidArgument, Unsupported
from refnet.firewall import actions, protocols
from refnet.firewall.actions import Action
from refnet.firewall.rules import Rule
from refnet.firewall.text import terms, words
from refnet.firewall.text.terms import unsupported
from refnet.firewall.text.words import Option
from refnet.firewall.values import Not
from refnet.names import shown


def parse(text: str, family: int, *, resolve: Callable[[str], str] | None = None) -> Rule:
    """Return the rule that iptables's text says, without the ``-A chain`` before it, for a family, 4 or 6.

    The rule's family is always set. What says nothing (``0.0.0.0/0``, ``-p all``) is left out; host bits are masked, as
    iptables does. ``resolve`` returns the name in the model of a chain that is jumped to, and may raise.

    Raises:
        InvalidArgument: the text is unknown, incomplete or contradicts itself; the message quotes the word.
        Unsupported: iptables knows it and the rule model does not; ``capability`` names the match, target or option.
    """
    if family not in (4, 6):
        raise InvalidArgument(f"family {shown(family)} is neither 4 nor 6")
    try:
        return _Reader(terms.split(text), family, resolve).rule()
    except (InvalidArgument, Unsupported) as error:
        error.message = f"{error.message} (in {_cut(text)})"
        raise


def _cut(text: object) -> str:
    said = shown(text)
    return said if len(said) <= 300 else f"{said[:300]}…"


class _Reader:
    """Reads words one after the other; what they say is in ``said``, by the rule's fields, in the end."""

    def __init__(self, given: list[str], family: int, resolve: Callable[[str], str] | None) -> None:
        self.left = given[::-1]
        self.family = family
        self.resolve = resolve
        self.word = ""
        self.negated = False
        self.said: dict[str, Any] = {}
        self.options: dict[str, Option] = dict(words.GENERAL)
        self.matches: list[str] = []
        self.idle: set[str] = set()  # matches that have got none of their options yet
        self.once: set[tuple[str, str]] = set()
        self.target = ""
        self.doing: Action | None = None

    def rule(self) -> Rule:
        while self.left:
            self.word = self.left.pop()
            self.negated = self.word == "!"
            if self.negated:
                self.word = self._next("an option has to follow '!'")
            self._option()
        if not self.target:
            raise InvalidArgument("the rule says not what to do: -j and a target are missing")
        self._see_that_matches_are_whole()
        if "limit" in self.matches:  # its defaults: iptables-extensions(8)
            packets, unit = self.said.get("limit", (3, "hour"))
            self.said["limit"] = packets, unit, self.said.pop("limit_burst", 5)
        return Rule(self._action(), family=self.family, **self.said)

    def _option(self) -> None:
        """Read an option with its arguments."""
        name, value = self._split()
        option = self._find(name)
        if (option.owner, option.key) in self.once:
            raise InvalidArgument(f"{self.word} is there twice")
        if option.key not in ("match", "unsupported"):
            self.once.add((option.owner, option.key))
        self.idle.discard(option.owner)
        given = [] if value is None else [value]
        if len(given) > option.arguments:
            raise InvalidArgument(f"{self.word} takes no value")
        while len(given) < option.arguments:
            one = self._next(f"a value has to follow {self.word}")
            if one != "!" or given or not option.negated:
                given.append(one)
            elif self.negated:
                raise InvalidArgument(f"{self.word} is negated twice")
            else:
                self.negated = True  # "-s ! 192.0.2.1", as it was written before iptables 1.4.3
        if self.negated and not option.negated:
            raise InvalidArgument(f"{self.word} cannot be negated")
        getattr(self, f"_{option.key}")(*given)

    def _split(self) -> tuple[str, str | None]:
        """Return an option's long name, and the value that is glued to it."""
        word = self.word
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word.partition("=")
            self.word = name
            return name, value if equals else None
        if word.startswith("-") and len(word) > 1 and word[1] in words.SHORT:
            self.word = word[:2]
            return words.SHORT[word[1]], word[2:] or None
        if word[:2] in ("-A", "-I", "-D", "-R", "-C", "-t", "-N", "-P", "-F", "-X"):
            raise InvalidArgument(f"{shown(word)}: table, chain and place are not part of a rule's text")
        raise InvalidArgument(f"{shown(word)} is not an option of iptables")

    def _find(self, name: str) -> Option:
        if name in self.options:
            return self.options[name]
        # getopt_long(3): an option can be cut short as long as it stays unambiguous.
        meant = {self.options[one] for one in self.options if one.startswith(name)}
        if len(meant) == 1:
            return meant.pop()
        if meant:
            raise InvalidArgument(f"option {shown(name)} is ambiguous")
        for owner, options in words.MATCH_OPTIONS.items():
            if name in options:
                raise InvalidArgument(f"option {name} needs -m {owner} before it")
        for owner, options in words.TARGET_OPTIONS.items():
            if name in options:
                raise InvalidArgument(f"option {name} needs -j {owner} before it")
        raise InvalidArgument(f"option {shown(name)} is unknown")

    def _next(self, why: str) -> str:
        if not self.left:
            raise InvalidArgument(f"the rule ends too early: {why}")
        return self.left.pop()

    def _unsupported(self, *_: str) -> None:
        unsupported(f"option {self.word}", self.word.lstrip("-"))

    def _put(self, field: str, found: Iterable[Any]) -> None:
        """Take values of a field that are, or with "!" are not, to match; besides those that it has got before."""
        listed = tuple(found)
        known = self.said.get(field)
        if known is None:
            self.said[field] = Not(*listed) if self.negated else listed
        elif self.negated and isinstance(known, Not):
            self.said[field] = Not(*known.values, *listed)
        else:
            self._refuse_a_second(field)

    def _set(self, field: str, value: Any) -> None:
        """Take the value of a field that has one: of two, iptables asks for both."""
        if field in self.said:
            self._refuse_a_second(field)
        self.said[field] = value

    def _refuse_a_second(self, field: str) -> None:
        unsupported(f"{self.word} besides what was said of {field.replace('_', ' ')} before", field)

    # -- matches ---------------------------------------------------------------------------------------

    def _match(self, name: str) -> None:
        name = words.MATCH_ALIASES.get(name, name)
        options = words.MATCH_OPTIONS.get(name)
        if options is None:
            if name in words.MATCHES:
                unsupported(f"match {name}", name)
            raise InvalidArgument(f"match {shown(name)} is unknown")
        if name == "limit" and name in self.matches:
            unsupported("a second limit", name)
        self.matches.append(name)
        self.once = {one for one in self.once if one[0] != name}
        if name in words.NEED_AN_OPTION:
            self._see_not_idle(name)
            self.idle.add(name)
        self.options.update(options)

    def _see_not_idle(self, name: str) -> None:
        if name in self.idle:
            raise InvalidArgument(f"-m {name} needs one of {', '.join(words.MATCH_OPTIONS[name])}")

    def _see_that_matches_are_whole(self) -> None:
        for name in self.idle:
            self._see_not_idle(name)
        for name in self.matches:
            protocol = words.MATCH_PROTOCOLS.get(name)
            if protocol and self.said.get("protocol") != protocol:
                raise InvalidArgument(f"-m {name} needs -p {protocol}")

    def _source(self, value: str) -> None:
        self._networks("source", value)

    def _destination(self, value: str) -> None:
        self._networks("destination", value)

    def _networks(self, field: str, value: str) -> None:
        found = terms.networks(value, self.family)
        if self.negated and len(found) > 1:
            raise InvalidArgument(f"{self.word} {value}: iptables negates one network, not a list")
        if self.negated or all(one.prefixlen for one in found):
            self._put(field, found)

    def _source_range(self, value: str) -> None:
        self._put("source", terms.network_range(value, self.family))

    def _destination_range(self, value: str) -> None:
        self._put("destination", terms.network_range(value, self.family))

    def _protocol(self, value: str) -> None:
        name = value.lower()
        terms.see_decimal(value)
        if self.negated:
            unsupported(f"! -p {value}", "negated protocol")
        if name in ("all", "0"):
            return
        self.said["protocol"] = found = protocols.name(str(words.PROTOCOLS.get(name, value)))
        for match, protocol in words.MATCH_PROTOCOLS.items():
            if protocol == found:
                self.options = {**words.MATCH_OPTIONS[match], **self.options}

    def _in_interface(self, value: str) -> None:
        self._device("in_interface", value)

    def _out_interface(self, value: str) -> None:
        self._device("out_interface", value)

    def _device(self, field: str, value: str) -> None:
        if value == "+" and not self.negated:
            return
        if value.endswith("+"):
            unsupported(f"{self.word} {value}: names by their beginning", "interface wildcard")
        self._put(field, (value,))

    def _fragment(self) -> None:
        unsupported("-f", "fragment")

    def _goto(self, _: str) -> None:
        unsupported("-g", "goto")

    def _counters(self, *given: str) -> None:
        for one in given:
            if not (one.isascii() and one.isdigit()):
                raise InvalidArgument(f"counter {shown(one)} is not a number")

    def _ipv4(self) -> None:
        self._see_family(4)

    def _ipv6(self) -> None:
        self._see_family(6)

    def _see_family(self, family: int) -> None:
        if family != self.family:
            raise InvalidArgument(f"{self.word} is for IPv{family}, and this is a rule for IPv{self.family}")

    def _source_port(self, value: str) -> None:
        self._one_port("source_ports", value)

    def _destination_port(self, value: str) -> None:
        self._one_port("destination_ports", value)

    def _one_port(self, field: str, value: str) -> None:
        if "multiport" in self.idle:  # getopt takes --dport for --dports there, and so do people
            self.idle.discard("multiport")
            self._put(field, map(terms.port_range, value.split(",")))
        else:
            self._put(field, (terms.port_range(value),))

    def _source_ports(self, value: str) -> None:
        self._put("source_ports", map(terms.port_range, value.split(",")))

    def _destination_ports(self, value: str) -> None:
        self._put("destination_ports", map(terms.port_range, value.split(",")))

    def _either_ports(self, value: str) -> None:
        unsupported(f"--ports {value}: either of both ports", "multiport --ports")

    def _icmp_type(self, value: str) -> None:
        if self.negated:
            unsupported(f"! {self.word} {value}", "negated ICMP type")
        known = words.ICMP[self.family]
        name = value.lower()
        if name not in known:
            for one in name.split("/"):
                terms.see_decimal(one)
            found = protocols.icmp_type(name, "icmp" if self.family == 4 else "icmpv6")
            # Of IPv4, 255 is any type, whatever the code (linux, net/ipv4/netfilter/ip_tables.c, icmp_type_code_match).
            if self.family == 6 or found.type != 255:
                self._set("icmp_type", found)
        elif known[name]:
            self._set("icmp_type", known[name])

    def _states(self, value: str) -> None:
        self._put("states", [one.lower() for one in value.split(",")])

    def _source_mac(self, value: str) -> None:
        self._put("source_mac", (value,))

    def _mark(self, value: str) -> None:
        if self.negated:
            unsupported(f"! --mark {value}", "negated mark")
        self._set("mark", terms.masked(value))

    def _limit(self, value: str) -> None:
        self.said["limit"] = terms.rate(value)

    def _limit_burst(self, value: str) -> None:
        self.said["limit_burst"] = terms.number(value)

    def _comment(self, value: str) -> None:
        self._set("comment", value)

    # -- what is done ----------------------------------------------------------------------------------

    def _jump(self, name: str) -> None:
        if name in words.TARGETS:
            unsupported(f"target {name}", name)
        self.target = name
        self.options.update(words.TARGET_OPTIONS.get(name, {}))

    def _answer(self, value: str) -> None:
        known = words.ANSWERS[self.family]
        name = value.lower()
        if name not in known:
            raise InvalidArgument(f"--reject-with {shown(value)} is none of {', '.join(known)}")
        answer = known[name]
        if answer is None:
            unsupported(f"--reject-with {value}", "reject answer")
        self.doing = actions.Reject(answer)

    def _translation(self, value: str) -> None:
        kind = actions.Snat if self.target == "SNAT" else actions.Dnat
        self.doing = kind(*terms.translation(value, self.family))

    def _new_ports(self, value: str) -> None:
        kind = actions.Redirect if self.target == "REDIRECT" else actions.Masquerade
        self.doing = kind(terms.new_ports(value))

    def _log_prefix(self, value: str) -> None:
        self.doing = actions.Log(value)

    def _log_level(self, value: str) -> None:
        if value.lower() not in ("4", "warn", "warning"):
            unsupported(f"--log-level {value}", "log level")

    def _set_xmark(self, value: str) -> None:
        bits, mask = terms.masked(value)
        self._marking(bits, mask)

    def _set_mark(self, value: str) -> None:
        bits, mask = terms.masked(value)
        self._marking(bits, mask | bits)

    def _and_mark(self, value: str) -> None:
        self._marking(0, terms.number(value) ^ 0xFFFFFFFF)

    def _or_mark(self, value: str) -> None:
        self._marking(terms.number(value), terms.number(value))

    def _xor_mark(self, value: str) -> None:
        self._marking(terms.number(value), 0)

    def _marking(self, bits: int, mask: int) -> None:
        if self.doing:
            raise InvalidArgument(f"{self.word} comes second: one mark is enough")
        if bits & ~mask & 0xFFFFFFFF:
            unsupported(f"{self.word}: bits that are turned over", "xor of marks")
        self.doing = actions.SetMark(bits, mask)

    def _checksum_fill(self) -> None:
        self.doing = actions.CHECKSUM_FILL

    def _action(self) -> Action:
        if self.doing:
            return self.doing
        plain = _PLAIN.get(self.target)
        if plain:
            return plain
        if self.target == "REDIRECT":
            unsupported("REDIRECT without --to-ports", "redirect to the same port")
        if self.target in words.TARGET_OPTIONS:
            raise InvalidArgument(f"-j {self.target} needs {' or '.join(words.TARGET_OPTIONS[self.target])}")
        return actions.Jump(self.resolve(self.target) if self.resolve else self.target)


_PLAIN: dict[str, Action] = {
    "ACCEPT": actions.ACCEPT,
    "DROP": actions.DROP,
    "RETURN": actions.RETURN,
    "REJECT": actions.Reject(),
    "MASQUERADE": actions.Masquerade(),
    "LOG": actions.Log(),
}
