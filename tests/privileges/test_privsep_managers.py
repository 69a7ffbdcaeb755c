"""The DHCP managers that the daemon keeps, one for each time limit that callers have."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import pytest

from refnet import config
from refnet.dhcp.dnsmasq import DnsmasqManager
from refnet.privsep import daemon


class Told(DnsmasqManager):
    """A manager that tells of its end, as one does that holds something."""

    closed: ClassVar[list[float]] = []

    def close(self) -> None:
        self.closed.append(self.time_limit)


def test_a_manager_that_another_call_may_be_using_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_managers", OrderedDict())
    config.configure(dhcp=f"{__name__}:Told")
    try:
        used = daemon._dhcp_manager(1.0)
        for limit in range(2, 40):
            daemon._dhcp_manager(float(limit))
        assert len(daemon._managers) == daemon._KEPT
        assert (type(used), Told.closed) == (Told, [])
    finally:
        config.configure(dhcp="")
