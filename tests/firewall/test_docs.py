"""What the documents show runs: their Python, in a network stack of its own, on the default backend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.topology.linux import Sandbox
from refnet.firewall import PortGuard, get_manager

REPOSITORY = Path(__file__).parent.parent.parent


def blocks(name: str) -> list[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "manager." in block]


@pytest.mark.parametrize("name", ["README.md", "docs/firewall.md"])
def test_the_python_of_the_documents_runs(stack: Sandbox, name: str) -> None:
    before = stack.look.rules()
    stack.plain_bridge("br0")
    stack.plain_cables("tap1", "eth1")
    names = {"manager": get_manager("web"), "PortGuard": PortGuard}
    try:
        found = blocks(name)
        assert len(found) >= {"README.md": 1, "docs/firewall.md": 3}[name]
        for block in found:
            exec(block, names)
    finally:
        names["manager"].teardown()
        stack.remove_plain("br0", "tap1", "eth1")
    assert stack.look.rules() == before
