"""contrib/nova-refnet.patch: Nova's own tests of what it changes, before and after; and what stays as it was."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nova_copy import CHANGED, PATCH

from refnet import linux_net

MODULES = ("nova.tests.unit.privsep.test_linux_net", "nova.tests.unit.virt.libvirt.test_vif")


def own_tests(place: Path, tmp_path: Path) -> set[str]:
    """Run Nova's own tests of both modules, and return their names; none has failed, or been skipped."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "unittest", "-v", *MODULES],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(place)},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-20000:]
    ran = re.search(r"^Ran (\d+) tests in .*\n\nOK$", done.stderr, re.MULTILINE)
    assert ran, done.stderr[-20000:]
    names = set(re.findall(r"^(test_\w+) \(nova\.tests\.", done.stderr, re.MULTILINE))
    assert len(names) == int(ran[1])
    return names


@pytest.fixture(scope="session")
def before(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of Nova's tests, which pass as it is installed."""
    return own_tests(installed, tmp_path_factory.mktemp("before"))


def test_novas_own_tests_pass_with_the_patch(before: set[str], patched: Path, tmp_path: Path) -> None:
    after = own_tests(patched, tmp_path)
    assert len(before) > 80
    assert before - after == {
        "test_create_tap_skipped_when_exists",
        "test_create_tap_dev_fallback_to_tunctl",
        "test_create_tap_dev_multiqueue_tunctl_raises",
    }
    assert after - before == {
        "test_create_tap_dev_raises",
        "test_every_privileged_function_is_refnets",
        "test_options_are_taken_once",
    }


def test_the_tests_run_the_patched_module(patched: Path, tmp_path: Path) -> None:
    """That they passed says something about refnet: without it, the patched tests fail."""
    written = "import sys; sys.modules['refnet'] = None; import nova.privsep.linux_net"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", written],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(patched)},
    )
    assert done.returncode != 0
    assert f"{patched}/{CHANGED[0]}" in done.stderr


def test_only_these_files_change(installed: Path, patched: Path) -> None:
    assert re.findall(r"^\+\+\+ b/(\S+)$", PATCH.read_text(), re.MULTILINE) == list(CHANGED)
    for path in CHANGED:
        assert (installed / path).read_text() != (patched / path).read_text()
    vif = "nova/virt/libvirt/vif.py"
    assert (installed / vif).read_text() == (patched / vif).read_text()


def _public(path: Path) -> dict[str, tuple[str, bool]]:
    """Return the public functions of a module: their parameters, and whether they are privileged."""
    return {
        one.name: (ast.unparse(one.args), "sys_admin_pctxt.entrypoint" in "".join(map(ast.unparse, one.decorator_list)))
        for one in ast.parse(path.read_text()).body
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")
    }


def test_names_signatures_and_privileges_stay(installed: Path, patched: Path) -> None:
    own = _public(installed / CHANGED[0])
    assert _public(patched / CHANGED[0]) == own
    assert len(own) == 10
    assert [name for name, (_, privileged) in own.items() if not privileged] == ["device_exists", "delete_net_dev"]


def test_refnet_has_all_of_them_with_the_same_parameters(installed: Path) -> None:
    for name, (parameters, _) in _public(installed / CHANGED[0]).items():
        theirs = inspect.signature(eval(f"lambda {parameters}: None"))
        assert _bare(inspect.signature(getattr(linux_net, name))) == _bare(theirs), name


def _bare(signature: inspect.Signature) -> list[tuple[str, object, object]]:
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]


#: What was proposed when networking was split off: the helpers of Nova's libvirt VIF driver, and what is behind them.
SPLIT = {
    "create_tap_dev": ["dev", "mac_address", "multiqueue"],
    "create_ovs_vif_port": ["bridge", "dev", "iface_id", "mac", "instance_id", "mtu", "interface_type"],
    "create_ivs_vif_port": ["dev", "iface_id", "mac", "instance_id"],
    "device_exists": ["device"],
    "delete_net_dev": ["dev"],
    "ensure_vlan_bridge": None,
    "ensure_bridge": None,
    "LinuxBridgeInterfaceDriver": None,
    "LinuxOVSInterfaceDriver": None,
    "IptablesManager": None,
}


@pytest.mark.parametrize("name", SPLIT)
def test_refnet_has_what_the_split_was_to_have(name: str) -> None:
    found = getattr(linux_net, name)
    parameters = SPLIT[name]
    if parameters is not None:
        assert list(inspect.signature(found).parameters)[: len(parameters)] == parameters


def test_the_options_of_refnet_are_listed() -> None:
    done = subprocess.run(
        [f"{sys.prefix}/bin/oslo-config-generator", "--namespace", "refnet"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[DEFAULT]\n\n\n[refnet]\n")
    for option in ("netdev_driver", "firewall_driver", "dhcp_driver"):
        assert re.search(rf"^#{option} = ", done.stdout, re.MULTILINE), done.stdout
