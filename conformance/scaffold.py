"""A package for a new driver: every method is there and refuses, so that the suite has something to be red about."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance import interfaces
from refnet import __version__

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.25,<2"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "{what} for refnet"
requires-python = ">=3.10"
dependencies = ["refnet>={version}"]

[project.optional-dependencies]
test = ["refnet[conformance]>={version}"]

[project.entry-points."{group}"]
{package} = "{package}:{name}"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

_README = """\
# {distribution}

{what} for refnet. What its methods promise stands in the docstrings of
`{base}`; the conformance suite proves it:

```console
$ pip install -e '.[test]'
$ refnet-conformance run --area {area} {option} {package} --report out
```

It starts red. Write a method, declare its capability in `{probe}`, and run again with `--only` the specs that failed.
"""

_WORKFLOW = """\
name: conformance
on: [push, pull_request]
jobs:
  conformance:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install '.[test]'
      - run: sudo "$(which refnet-conformance)" run --area {area} {option} {package} --report out
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: conformance-report
          path: out
"""

_NETDEV = '''\
"""A network device driver for refnet. Each method's promise stands in refnet.netdev.driver.NetDevDriver."""

from __future__ import annotations

from refnet.errors import Unsupported, operation
from refnet.netdev.driver import Capability, Device, NetDevDriver


class Driver(NetDevDriver):
    """Network devices of a system of your own."""

    def probe(self, capability: Capability) -> str | None:
        """Say why a capability is not to be had; None: it is."""
        return "this driver does not have it yet"

{methods}

def _refused(capability: Capability | str) -> Unsupported:
    return Unsupported("this driver cannot do it yet", capability=capability)
'''

_FIREWALL = '''\
"""A firewall backend for refnet. What it has to do stands in refnet.firewall.manager.FirewallManager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refnet.errors import Unsupported, operation
from refnet.firewall.manager import Capability, Counter, FirewallManager, Standing
from refnet.firewall.model import Chain, Change, Key, Table
from refnet.firewall.rules import Rule
from refnet.names import IPAddress


class Manager(FirewallManager):
    """Packet filtering of a system of your own."""

    def _probe(self, capability: Capability) -> str | None:
        """Say why a capability is not to be had; None: it is."""
        return "this backend does not have it yet"

{methods}

def _refused(capability: Capability | str) -> Unsupported:
    return Unsupported("this backend cannot do it yet", capability=capability)
'''

_DHCP = '''\
"""A DHCP backend for refnet. What it has to do stands in refnet.dhcp.manager.DhcpManager."""

from __future__ import annotations

from refnet.dhcp.capabilities import Capability
from refnet.dhcp.leases import Lease
from refnet.dhcp.manager import DhcpManager, Status
from refnet.dhcp.network import DhcpNetwork, Host
from refnet.errors import Unsupported, operation
from refnet.names import IPAddress


class Manager(DhcpManager):
    """Leases, names and router advertisements by a server of your own."""

    def probe(self, capability: Capability) -> str | None:
        """Say why a capability is not to be had; None: it is."""
        return "this backend does not have it yet"

    @operation
    def networks(self) -> tuple[str, ...]:
        """Return the devices of all networks that are in the directory: none can be started yet."""
        return ()

    @operation
    def start(self, network: DhcpNetwork) -> None:
        """Make sure that the network's device has a server which serves it so; return when it answers."""
        self._needs(network)
        raise _refused("start")

{methods}

def _refused(capability: Capability | str) -> Unsupported:
    return Unsupported("this backend cannot do it yet", capability=capability)
'''


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an interface's package is made from."""

    what: str
    module: str
    #: The class of the package, and the method in which it says what it can do.
    name: str
    probe: str
    #: The capability that a method's refusal names, by the method's name; else ``rest``, or the method's name.
    capabilities: Mapping[str, str]
    rest: str = ""
    #: Other methods that stand in the text already.
    written: tuple[str, ...] = ()


_KINDS = {
    "netdev": _Kind(
        "A network device driver",
        _NETDEV,
        "Driver",
        "probe",
        {
            **dict.fromkeys(("create_bridge", "delete_bridge", "ensure_bridge"), "Capability.BRIDGE"),
            **dict.fromkeys(("add_bridge_port", "remove_bridge_port", "bridge_ports"), "Capability.BRIDGE"),
            "ensure_vlan": "Capability.VLAN",
            "create_tap_dev": "Capability.TAP",
            "create_veth_pair": "Capability.VETH",
        },
    ),
    "firewall": _Kind(
        "A firewall backend",
        _FIREWALL,
        "Manager",
        "_probe",
        {"counters": "Capability.COUNTERS", "forget_connections": "Capability.FORGET_CONNECTIONS"},
        rest="Capability.FILTER",
    ),
    "dhcp": _Kind(
        "A DHCP backend",
        _DHCP,
        "Manager",
        "probe",
        {"release": "Capability.RELEASE"},
        rest="Capability.DHCP",
        written=("networks", "start"),
    ),
}


def new_driver(path: Path, area: str = "netdev") -> list[Path]:
    """Write a package for a new driver of an area's interface into a folder, and return the files written.

    Raises:
        ValueError: the folder is there and is not empty, its name gives no package name, or it cannot be written.
    """
    package = re.sub(r"[^a-z0-9]+", "_", path.resolve().name.lower()).strip("_")
    if not package.isidentifier():
        raise ValueError(f"{path.name!r} gives no name for a package: it has to begin with a letter")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is there already: name a folder that is not")
    kind, one = _KINDS[area], interfaces.ALL[area]
    words = {
        "package": package,
        "distribution": package.replace("_", "-"),
        "version": __version__,
        "what": kind.what,
        "name": kind.name,
        "probe": kind.probe,
        "base": f"{one.base.__module__}.{one.base.__qualname__}",
        "group": one.group,
        "area": area,
        "option": one.option,
    }
    texts = {
        "pyproject.toml": _PYPROJECT.format(**words),
        "README.md": _README.format(**words),
        ".github/workflows/conformance.yml": _WORKFLOW.format(**words),
        f"{package}/__init__.py": kind.module.format(methods=_methods(kind, one.base)),
    }
    try:
        for name, text in texts.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    return [path / name for name in texts]


def _methods(kind: _Kind, base: type) -> str:
    """Return the abstract methods of an interface with their signatures as they are written, each refusing."""
    module = inspect.getmodule(base)
    assert module is not None
    source = inspect.getsource(module).splitlines()
    (interface,) = (
        node
        for node in ast.parse("\n".join(source)).body
        if isinstance(node, ast.ClassDef) and node.name == base.__name__
    )
    abstract = frozenset(getattr(base, "__abstractmethods__", ())) - {kind.probe, *kind.written}
    written = []
    for node in interface.body:
        if not isinstance(node, ast.FunctionDef) or node.name not in abstract:
            continue
        # What is called by the interface's own methods needs no name of an operation.
        decorator = [] if node.name.startswith("_") else ["    @operation"]
        head = source[node.lineno - 1 : node.body[0].lineno - 1]
        summary = (ast.get_docstring(node) or "").splitlines()[0]
        capability = kind.capabilities.get(node.name) or kind.rest or f'"{node.name}"'
        body = [f'"""{summary}"""', f"raise _refused({capability})"]
        written.append("\n".join([*decorator, *head, textwrap.indent("\n".join(body), " " * 8), ""]))
    return "\n".join(written)
