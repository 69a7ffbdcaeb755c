"""A routed topology, and rules that are written by hand, by which the suite's proofs are judged."""

import contextlib

import pytest

from conformance.topology.routed import HOST, Routed

WHAT = "the proof"
OPEN, SHUT = 7000, 7001
#: By hook, what stops all that is sent to the port SHUT, and answers what is sent to 7002.
RULES = """
table inet hand {{
  chain forward {{ type filter hook forward priority 0; {rules} }}
  chain input {{ type filter hook input priority 0; {rules} }}
  chain output {{ type filter hook output priority 0; {rules} }}
}}
"""
DROPS = "udp dport 7001 drop; tcp dport 7001 drop;"
REJECTS = "tcp dport 7002 reject with tcp reset; udp dport 7002 reject;"
ENDS = [("a", "b"), ("a", HOST), (HOST, "a")]
ends = pytest.mark.parametrize("ends", ENDS, ids=["forward", "input", "output"])
families = pytest.mark.parametrize("family", [4, 6])


def load(stack, text):
    stack.run("nft", "-f", "-", stdin=f"{text}\n")


def rules(stack, *rules):
    load(stack, RULES.format(rules=" ".join(rules)))


@pytest.fixture
def topo(stack):
    stack.arrival_limit = 60.0  # of what arrives; a busy machine is no reason to fail
    return Routed(stack, "a", "b", "c")


@contextlib.contextmanager
def missed(stack, error, match):
    """Expect an error because something does not arrive, which is not worth waiting for."""
    usual, stack.arrival_limit = stack.arrival_limit, 0.5
    with pytest.raises(error, match=match):
        yield
    stack.arrival_limit = usual
