"""What the documents show of DHCP runs: README's network with a client that gets its lease, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.topology.dhcp.client import Client
from conformance.topology.dhcp.segment import Segment
from conformance.topology.linux import Sandbox
from refnet.dhcp import file, get_manager

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture
def stack_with_var(stack: Sandbox) -> Iterator[Sandbox]:
    """A stack in which the directory that networks are kept in by default is empty, and nobody else's."""
    stack.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/var/lib")
    try:
        yield stack
    finally:
        stack.run("umount", "/var/lib")


def blocks(name: str, language: str, mark: str) -> list[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return [block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if mark in block]


@pytest.mark.usefixtures("tap")
def test_readme_s_network_is_brought_up_serves_a_client_and_is_taken_down(stack_with_var: Sandbox) -> None:
    net = stack_with_var
    up, down = blocks("README.md", "python", "server.st")
    before = net.look.state()
    names: dict[str, Any] = {}
    try:
        exec(up, names)
        client = Client(net, net.hold("tap1"))
        ack = client.lease()
        assert 100 <= int(ack.yiaddr.removeprefix("192.0.2.")) <= 199
        assert [str(one.address) for one in names["server"].leases("br100")] == [ack.yiaddr]
    finally:
        net.let_go()
        exec(down, names)
    net.remove_endpoints()
    assert net.look.state() == before
    assert list(Path("/var/lib").rglob("*")) == [Path("/var/lib/refnet")]


def test_the_python_of_the_documents_runs(stack_with_var: Sandbox) -> None:
    net = stack_with_var
    Segment(net, "192.0.2.1/24", "2001:db8::1/64", device="br100")
    names: dict[str, Any] = {}
    found = blocks("docs/dhcp.md", "python", "manager")
    assert len(found) == 2
    try:
        for block in found:
            exec(block, names)
    finally:
        get_manager().stop("br100", forget=True)
    assert names["manager"].firewall.owner == "my-agent"


def test_the_network_file_of_the_documents_can_be_read() -> None:
    (text,) = blocks("docs/dhcp.md", "toml", "device")
    network = file.parse(text)
    assert (network.device, str(network.gateway), len(network.hosts), len(network.ranges)) == (
        "br100",
        "192.0.2.1",
        1,
        1,
    )
