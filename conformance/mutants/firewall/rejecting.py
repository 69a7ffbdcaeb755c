"""Wrong about what the sender is told."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.firewall.rewriting import changed, rewriting
from refnet.firewall import DROP, Answer, FirewallManager, Reject, Rule
from refnet.firewall.actions import Drop


@mutant(
    "reject-dropped",
    "answers where it is to drop",
    {"RJ-01": "was dropped and answered", "RJ-10": "was dropped and answered"},
)
def reject_dropped(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, action=Reject())] if isinstance(rule.action, Drop) else None)


@mutant(
    "reject-silently",
    "drops where it is to answer",
    {
        "RJ-02": "was not answered",
        "RJ-03": "was not answered",
        "RJ-04": "was not answered",
        "RJ-05": "was not answered",
        "RJ-06": "was not answered",
        "RJ-07": "ended with TimeoutError",
        "RJ-08": "was not answered",
        "RJ-09": "ended with TimeoutError",
        "RJ-10": "was not answered",
    },
)
def reject_silently(base: Any) -> type[FirewallManager]:
    return rewriting(base, lambda rule: [changed(rule, action=DROP)] if isinstance(rule.action, Reject) else None)


def _answering(base: Any, which: Any, answer: Answer) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        is_meant = isinstance(rule.action, Reject) and which(rule.action.answer)
        return [changed(rule, action=Reject(answer))] if is_meant else None

    return rewriting(base, rewrite)


@mutant(
    "reject-with-one-answer",
    "knows one answer of ICMP only",
    {"RJ-03": "not ICMP type 3 code 1", "RJ-04": "not ICMP type 1 code 3", "RJ-08": "not ICMP type 3 code 13"},
)
def reject_with_one_answer(base: Any) -> type[FirewallManager]:
    return _answering(base, lambda answer: answer is not Answer.TCP_RESET, Answer.PORT_UNREACHABLE)


@mutant(
    "reject-as-prohibited",
    "has another default",
    {"RJ-02": "not ICMP type 3 code 3", "RJ-10": "not ICMP type 3 code 3"},
)
def reject_as_prohibited(base: Any) -> type[FirewallManager]:
    return _answering(base, lambda answer: answer is Answer.PORT_UNREACHABLE, Answer.ADMIN_PROHIBITED)


@mutant(
    "reject-without-reset",
    "answers TCP by ICMP",
    {
        "RJ-05": "not with RST",
        "RJ-06": "not with RST",
        "RJ-07": "connection ended with OSError",
        "RJ-08": "not with RST",
    },
)
def reject_without_reset(base: Any) -> type[FirewallManager]:
    return _answering(base, lambda answer: answer is Answer.TCP_RESET, Answer.ADMIN_PROHIBITED)


@mutant("reject-first", "puts rules that reject before those that do not", {"RJ-10": "and did not arrive"})
def reject_first(base: Any) -> type[FirewallManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_rule(self, chain: str, rule: Rule, *, first: bool = False, **where: Any) -> None:
            super().add_rule(chain, rule, first=first or isinstance(rule.action, Reject), **where)

    return Wrong


@mutant(
    "reject-resets-all-tcp",
    "answers TCP by a reset, whatever the answer was to be",
    {"RJ-11": "not ICMP type"},
)
def reject_resets_all_tcp(base: Any) -> type[FirewallManager]:
    def rewrite(rule: Rule) -> list[Rule] | None:
        if not isinstance(rule.action, Reject) or rule.protocol not in ("tcp", None):
            return None
        reset = changed(rule, protocol="tcp", action=Reject(Answer.TCP_RESET))
        return [reset] if rule.protocol else [reset, rule]

    return rewriting(base, rewrite)
