"""Fixtures: managers of both variants, in a network stack of a test's own."""

from __future__ import annotations

from typing import Any

import pytest
from iptables_helpers import VARIANTS

from conformance.topology.linux import Sandbox
from refnet.firewall.iptables import IptablesManager
from refnet.firewall.iptables.tools import Tools


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, stack: Sandbox) -> str:
    return str(request.param)


@pytest.fixture
def make(variant: str) -> Any:
    def made(owner: str = "own", **options: Any) -> IptablesManager:
        return VARIANTS[variant](owner, **options)

    return made


@pytest.fixture
def manager(make: Any) -> IptablesManager:
    found: IptablesManager = make()
    return found


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are given to iptables-restore, which goes on doing its work."""
    texts: list[str] = []
    real = Tools.restore

    def watched(self: Tools, text: str, *rest: Any) -> None:
        texts.append(text)
        real(self, text, *rest)

    monkeypatch.setattr(Tools, "restore", watched)
    return texts
