"""The functions of refnet.netdev: one for each method of the driver, and nothing of a platform before it is used."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refnet import netdev
from refnet.netdev import model
from refnet.netdev.driver import NetDevDriver

REPOSITORY = Path(__file__).parent.parent

#: Closing is for who has made a driver; the functions share one.
METHODS = {
    name: method
    for name, method in inspect.getmembers(NetDevDriver, inspect.isfunction)
    if not name.startswith("_") and name != "close"
}


def signature(function: Callable[..., object]) -> inspect.Signature:
    """Return a signature without self."""
    found = inspect.signature(function)
    return found.replace(parameters=[one for one in found.parameters.values() if one.name != "self"])


def _recorded(name: str) -> Callable[..., object]:
    def method(self: NetDevDriver, *args: object, **kwargs: object) -> object:
        bound = signature(METHODS[name]).bind(*args, **kwargs)
        return name, bound.arguments

    return method


#: A driver that does nothing, and returns what it was asked for.
Recorder = type("Recorder", (NetDevDriver,), {name: _recorded(name) for name in METHODS})


def test_there_are_methods_to_speak_of() -> None:
    assert len(METHODS) >= 22


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_a_function_with_its_signature(name: str) -> None:
    assert signature(getattr(netdev, name)) == signature(METHODS[name])
    assert getattr(netdev, name).__doc__ == f"See :meth:`NetDevDriver.{name}`."


@pytest.mark.parametrize("name", METHODS)
def test_each_function_hands_every_argument_on_and_the_result_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFNET_NETDEV", f"{__name__}:Recorder")
    parameters = signature(METHODS[name]).parameters.values()
    values: dict[str, Any] = {one.name: object() for one in parameters}
    in_order = [values[one.name] for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_name = {one.name: values[one.name] for one in parameters if one.kind is one.KEYWORD_ONLY}
    result = getattr(netdev, name)(*in_order, **by_name)
    expected = (name, values)
    assert result == (expected if METHODS[name].__annotations__["return"] != "None" else None)
    recorded: list[object] = []
    monkeypatch.setattr(Recorder, name, lambda self, *args, **kwargs: recorded.append((args, kwargs)))
    getattr(netdev, name)(*in_order, **by_name)
    ((args, kwargs),) = recorded
    assert dict(signature(METHODS[name]).bind(*args, **kwargs).arguments) == values


def test_all_that_is_meant_for_callers_is_exported() -> None:
    types = {
        "NetDevDriver",
        *(name for name, one in vars(model).items() if getattr(one, "__module__", "") == model.__name__),
    }
    assert set(netdev.__all__) == set(METHODS) | types | {"get_driver"}
    assert sorted(netdev.__all__) == netdev.__all__


def test_every_type_in_a_signature_is_exported() -> None:
    hints = " ".join(str(signature(method)) for method in METHODS.values())
    for name, found in vars(model).items():
        if inspect.isclass(found) and found.__module__ == model.__name__ and name in hints:
            assert name in netdev.__all__


def modules_after(code: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ended.stdout.split())


def test_the_interface_imports_nothing_of_a_platform() -> None:
    found = modules_after("import refnet.netdev, refnet.errors, refnet.names, refnet.config, refnet.process")
    assert "refnet.netdev.driver" in found
    assert not {name for name in found if name.startswith(("refnet.netdev.linux", "pyroute2"))}


def test_a_platform_is_imported_with_its_driver() -> None:
    found = modules_after("import refnet.netdev; refnet.netdev.get_driver('linux')")
    assert {"refnet.netdev.linux", "pyroute2"} <= found


def test_the_library_imports_nothing_of_the_suite() -> None:
    found = modules_after("import refnet.netdev, refnet.process, refnet.locks, refnet.netdev.linux")
    assert not {name for name in found if name.split(".")[0] in ("conformance", "pytest")}
