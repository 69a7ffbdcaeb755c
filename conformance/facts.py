"""What is known before a run, found out where the specs run: the driver, its capabilities, the environment, tools."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import conformance
import refnet
from conformance import digest, features, runner, system
from conformance.errors import SuiteError
from conformance.harness import within
from refnet import process
from refnet.errors import RefnetError
from refnet.netdev.driver import Capability, NetDevDriver

#: Seconds for a driver to say what it can do.
_PROBE_LIMIT = 60.0
#: By system: what it is looked at and changed with. FreeBSD's tools have the version of its userland.
_TOOLS = {
    system.LINUX: {"ip": ("-V",), "bridge": ("-V",)},
    system.FREEBSD: {"freebsd-version": ("-u",)},
}


def facts(netdev: str | None) -> dict[str, Any]:
    """Return what is known before the run: the driver, what it declares, what the environment has, and the tools."""
    driver_class = runner.load_driver(netdev)
    declared = _declared_in_jail(netdev) if system.NAME == system.FREEBSD else _declared(driver_class)
    return {
        # Seconds since the epoch by the clock there, which is the one that outcomes are dated by.
        "clock": time.time(),
        "suite": {"version": conformance.__version__, "digest": digest.of_package("conformance")},
        "refnet": {"version": refnet.__version__, "digest": digest.of_package("refnet")},
        "driver": {
            "class": f"{driver_class.__module__}:{driver_class.__qualname__}",
            "version": _version_of(driver_class.__module__),
            "digest": digest.of_package(driver_class.__module__),
            "known_deviations": dict(getattr(driver_class, "known_deviations", {})),
        },
        # None: it is there; else the words of whoever says that it is not.
        "capabilities": {
            name: {"driver": words, "environment": features.lacking(name)} for name, words in declared.items()
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
            "tools": {name: _tool_version(name, arguments) for name, arguments in _TOOLS[system.NAME].items()},
        },
    }


def _declared(driver_class: type[NetDevDriver]) -> dict[str, str | None]:
    """Ask the driver for each capability; the answer is None, or the words that say why not."""
    with within(_PROBE_LIMIT, "asking the driver for its capabilities"), driver_class() as driver:
        return {str(capability): driver.probe(capability) for capability in Capability}


def _declared_in_jail(netdev: str | None) -> dict[str, str | None]:
    """Have the driver asked in a jail, by another process: this one is on the host, which nobody's driver shall change.

    Raises:
        AssertionError: it does not tell.
    """
    from conformance.freebsd_shell import run
    from conformance.topology.freebsd import jails

    name = jails.new_name()
    try:
        jails.make(name)
        said = run(["jexec", name, sys.executable, "-m", "conformance.facts", netdev or ""])
        found: dict[str, str | None] = json.loads(said.splitlines()[-1])
    except (SuiteError, ValueError, IndexError) as error:
        raise AssertionError(f"the driver does not tell its capabilities: {error}") from None
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


def _tool_version(name: str, arguments: Sequence[str]) -> str:
    if shutil.which(name) is None:
        return "not installed"
    try:
        done = process.run([name, *arguments], time_limit=10)
    except RefnetError as error:
        return error.message
    return (done.stdout or done.stderr).strip()


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


if __name__ == "__main__":
    print(json.dumps(_declared(runner.load_driver(sys.argv[1] or None))))
