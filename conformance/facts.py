"""What is known before a run, found out where the specs run: the drivers, their capabilities, environment, tools."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import conformance
import refnet
from conformance import digest, features, interfaces, system
from conformance.errors import SuiteError
from conformance.harness import within
from conformance.topology.sandbox import Sandbox
from refnet import netdev, process
from refnet.errors import RefnetError

#: Seconds for a driver to say what it can do.
_PROBE_LIMIT = 60.0
#: By system: what it is looked at and changed with. FreeBSD's tools have the version of its userland.
_TOOLS: dict[str, dict[str, tuple[str, ...]]] = {
    system.LINUX: {"ip": ("-V",), "bridge": ("-V",)},
    system.FREEBSD: {"freebsd-version": ("-u",)},
}
#: By area: what is changed with besides. A driver may use one of them only.
_LINUX_TOOLS: dict[str, dict[str, tuple[str, ...]]] = {
    "firewall": dict.fromkeys(("iptables", "ip6tables", "ebtables", "nft", "conntrack"), ("--version",)),
    "dhcp": {"dnsmasq": ("--version",)},
    "netdev": {"ovs-vswitchd": ("--version",)},
}


def facts(areas: Sequence[str], chosen: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what is known before the run: the drivers, what they declare, what the environment has, and the tools.

    ``areas`` are those that are judged, ``chosen`` names a class for an area where the platform's is not meant.
    """
    classes = {area: interfaces.ALL[area].load(chosen[area]) for area in areas}
    named = {area: chosen[area] or "" for area in areas}
    declared = _declared_in_jail(named) if system.NAME == system.FREEBSD else _declared_in_sandbox(classes)
    return {
        # Seconds since the epoch by the clock there, which is the one that outcomes are dated by.
        "clock": time.time(),
        "suite": {"version": conformance.__version__, "digest": digest.of_package("conformance")},
        "refnet": {"version": refnet.__version__, "digest": digest.of_package("refnet")},
        "drivers": {area: _driver(tested) for area, tested in classes.items()},
        # None: it is there; else the words of whoever says that it is not.
        "capabilities": {
            name: {"area": area, "driver": words, "environment": features.lacking(name)}
            for area, said in declared.items()
            for name, words in said.items()
        },
        "environment": {
            "name": "local",
            "details": {},
            "system": platform.system(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "distribution": _distribution(),
            "python": platform.python_version(),
            "user": "root" if _is_real_root() else "an ordinary user, root in a user namespace",
            "tools": {name: _tool_version(name, arguments) for name, arguments in _tools(areas).items()},
        },
    }


def _driver(tested: type) -> dict[str, Any]:
    return {
        "class": f"{tested.__module__}:{tested.__qualname__}",
        "version": _version_of(tested.__module__),
        "digest": digest.of_package(tested.__module__),
        "known_deviations": dict(getattr(tested, "known_deviations", {})),
        "bases": list(interfaces.of_refnet(tested)),
    }


_Declared = dict[str, dict[str, str | None]]


def _declared_in_sandbox(classes: Mapping[str, type]) -> _Declared:
    """Have drivers asked in a sandbox such as specs have, with all in it that the environment has."""
    half = system.half("conformance.topology")
    half.prepare()
    try:
        sandbox: Sandbox = half.Sandbox("facts")
    except SuiteError:
        # That none can be built is for the specs to tell.
        return _declared(classes)
    try:
        _make_ready(sandbox, classes)
        return _declared(classes)
    finally:
        sandbox.leave()


def _make_ready(sandbox: Sandbox, areas: Iterable[str]) -> None:
    """Do what is done for specs of all capabilities."""
    for area in areas:
        interfaces.ALL[area].prepare(sandbox)
    if not features.lacking(netdev.Capability.OVS):
        sandbox.open_vswitch()


def _declared(classes: Mapping[str, type]) -> _Declared:
    """Ask each driver for each capability; the answer is None, or the words that say why not."""
    found: _Declared = {}
    for area, tested in classes.items():
        one = interfaces.ALL[area]
        with within(_PROBE_LIMIT, f"asking the {one.noun} for its capabilities"), one.under_test(tested) as driver:
            found[area] = {str(capability): driver.probe(capability) for capability in one.capabilities}
    return found


def _declared_in_jail(chosen: Mapping[str, str]) -> _Declared:
    """Have drivers asked in a jail, by another process: this one is on the host, which nobody's driver shall change.

    Raises:
        AssertionError: it does not tell.
    """
    from conformance.freebsd_shell import run
    from conformance.topology.freebsd import jails
    from conformance.topology.freebsd.sandbox import JAIL

    name = jails.new_name()
    try:
        jails.make(name)
        command = [sys.executable, "-m", "conformance.facts", json.dumps(dict(chosen))]
        said = run(["jexec", name, "env", f"{JAIL}={name}", *command])
        found: _Declared = json.loads(said.splitlines()[-1])
    except (SuiteError, ValueError, IndexError) as error:
        raise AssertionError(f"the drivers do not tell their capabilities: {error}") from None
    finally:
        jails.remove(name)
    return found


def _version_of(module: str) -> str:
    package = module.partition(".")[0]
    distributions = packages_distributions().get(package)
    if distributions:
        return version(distributions[0])
    # An editable checkout is installed without a list of its packages.
    return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def _tools(areas: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the tools whose versions are told, each with the arguments that make it tell."""
    found = {**_TOOLS[system.NAME]}
    for area in areas if system.NAME == system.LINUX else ():
        found.update(_LINUX_TOOLS.get(area, {}))
    return found


def _tool_version(name: str, arguments: Sequence[str]) -> str:
    if shutil.which(name) is None:
        return "not installed"
    try:
        done = process.run([name, *arguments], time_limit=10)
    except RefnetError as error:
        return error.message
    # Some go on about their licence, or about what they are made of.
    return (done.stdout or done.stderr).strip().partition("\n\n")[0]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _is_real_root() -> bool:
    """Whether root here is root outside."""
    try:
        return Path("/proc/self/uid_map").read_text().split()[:3] == ["0", "0", "4294967295"]
    except OSError:
        return os.geteuid() == 0


def _tell(chosen: Mapping[str, str]) -> None:
    """Ask the drivers in the jail that this process is in, made ready as for a spec, and print what they say."""
    sandbox: Sandbox = system.half("conformance.topology").Sandbox("facts")
    try:
        _make_ready(sandbox, chosen)
        classes = {area: interfaces.ALL[area].load(named) for area, named in chosen.items()}
        print(json.dumps(_declared(classes)))
    finally:
        sandbox.leave()


if __name__ == "__main__":
    _tell(json.loads(sys.argv[1]))
