"""Nova as it is installed, Nova on refnet, and how to have either plug something."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nova_copy
import pytest

from conformance.topology.linux import namespaces

HERE = Path(__file__).parent


def pytest_report_header() -> str:
    """Tell which versions these are."""
    return ", ".join(f"{name} {version(name)}" for name in ("nova", "os-vif", "neutron", "oslo.privsep"))


@pytest.fixture(scope="session")
def installed() -> Path:
    """The directory that has Nova as it was installed."""
    found = importlib.util.find_spec("nova")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parents[1]


@pytest.fixture(scope="session")
def patched(inside: None, installed: Path) -> Path:
    """A directory that has a copy of Nova with the patch; it lasts as long as the tests' namespaces."""
    if "REFNET_NOVA_PATCHED" in os.environ:
        return Path(os.environ["REFNET_NOVA_PATCHED"])
    place = Path(sys.prefix, "patched")
    place.mkdir(exist_ok=True)
    namespaces.mount("tmpfs", str(place), "tmpfs")
    shutil.copytree(installed / "nova", place / "nova", ignore=shutil.ignore_patterns("locale"))
    nova_copy.apply(place)
    return place


class Refused(Exception):
    """What Nova's driver raised: its class's name, and its words."""

    def __init__(self, error: str, words: str) -> None:
        super().__init__(f"{error}: {words}")
        self.error = error
        self.words = words


class Nova:
    """A process with Nova's libvirt VIF driver, told what to do in the network stack of the caller."""

    def __init__(self, helpers: str, place: Path | None) -> None:
        self.helpers = helpers
        path = [str(one) for one in (place, HERE, os.environ.get("PYTHONPATH")) if one]
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(HERE / "nova_worker.py"), helpers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
        self.origin = Path(self._read()["nova"])

    def plug(self, vif: dict[str, Any], **more: Any) -> None:
        self._ask(do="plug", vif=vif, **more)

    def unplug(self, vif: dict[str, Any], **more: Any) -> None:
        self._ask(do="unplug", vif=vif, **more)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _ask(self, **request: Any) -> None:
        assert self._process.stdin is not None
        print(json.dumps({**request, "asker": os.getpid()}), file=self._process.stdin, flush=True)
        answer = self._read()
        if answer:
            raise Refused(answer["error"], answer["words"])

    def _read(self) -> dict[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process with Nova's driver has ended; what it said is above"
        answer: dict[str, str] = json.loads(line)
        return answer


@pytest.fixture(scope="session")
def plain_nova(inside: None) -> Iterator[Nova]:
    """Nova with its own helpers."""
    made = Nova("plain", None)
    yield made
    made.close()


@pytest.fixture(scope="session")
def nova_on_refnet(patched: Path) -> Iterator[Nova]:
    """Nova with the patch, and os-vif's plugin on refnet."""
    made = Nova("refnet", patched)
    assert made.origin.is_relative_to(patched)
    yield made
    made.close()


@pytest.fixture(scope="session", params=["plain", "refnet"])
def nova(request: pytest.FixtureRequest) -> Nova:
    """Either: what is asserted of refnet is what Nova itself does."""
    made: Nova = request.getfixturevalue("plain_nova" if request.param == "plain" else "nova_on_refnet")
    return made
