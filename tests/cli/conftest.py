"""Fixtures: the refnet command, run in this process."""

from __future__ import annotations

import socket

import pytest
from cli_running import Made, Result, Run

from refnet import cli


@pytest.fixture
def refnet(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        status = cli.main(arguments)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def made(stack: object) -> Made:
    """Name the devices that are there beside those of a fresh stack, which on some kernels has more than lo."""

    def names() -> set[str]:
        return {name for _, name in socket.if_nameindex()}

    at_first = names()
    return lambda: names() - at_first


@pytest.fixture
def done(refnet: Run) -> Run:
    """Run a command that is to succeed without a word on standard error."""

    def run(*arguments: str) -> Result:
        result = refnet(*arguments)
        assert (result.status, result.err) == (0, "")
        return result

    return run
