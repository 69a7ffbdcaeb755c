"""What docs/switch-ports.md shows runs, and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import refnet.netdev

REPOSITORY = Path(__file__).parent.parent.parent


def test_the_python_of_the_document_runs(driver, switch, capsys):
    text = (REPOSITORY / "docs/switch-ports.md").read_text(encoding="utf-8")
    found = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ovs" in block]
    assert len(found) == 2
    before = switch.rows()
    try:
        for block in found:
            exec(block, {})
            assert switch.rows() == before
    finally:
        refnet.netdev.get_driver().close()
    shown = capsys.readouterr().out
    assert "iface_id='8e7bd1a5-54b5-4a30-8b6d-2bfb5dd6f0b5'" in shown
    assert "tag=7" in shown
    assert not driver.device_exists("tap1")
    assert not driver.device_exists("br-int")
