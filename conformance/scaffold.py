"""A package for a new driver: every method is there and refuses, so that the suite has something to be red about."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

from refnet import __version__
from refnet.netdev import driver
from refnet.netdev.driver import NetDevDriver

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.25,<2"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "A network device driver for refnet"
requires-python = ">=3.10"
dependencies = ["refnet>={version}"]

[project.optional-dependencies]
test = ["refnet[conformance]>={version}"]

[project.entry-points."refnet.netdev"]
{package} = "{package}:Driver"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

_README = """\
# {distribution}

A network device driver for refnet. What its methods promise stands in the docstrings of
`refnet.netdev.driver.NetDevDriver`; the conformance suite proves it:

```console
$ pip install -e '.[test]'
$ refnet-conformance run --netdev {package} --report out
```

It starts red. Write a method, declare its capability in `probe`, and run again with `--only` the specs that failed.
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
      - run: sudo "$(which refnet-conformance)" run --netdev {package} --report out
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: conformance-report
          path: out
"""

_MODULE = '''\
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

#: The capability that a method's refusal names, where there is one for it.
_CAPABILITY = {
    "create_bridge": "Capability.BRIDGE",
    "delete_bridge": "Capability.BRIDGE",
    "add_bridge_port": "Capability.BRIDGE",
    "remove_bridge_port": "Capability.BRIDGE",
    "bridge_ports": "Capability.BRIDGE",
    "ensure_bridge": "Capability.BRIDGE",
    "ensure_vlan": "Capability.VLAN",
    "create_tap_dev": "Capability.TAP",
    "create_veth_pair": "Capability.VETH",
}


def new_driver(path: Path) -> list[Path]:
    """Write a package for a new driver into a folder that is not there yet, and return the files written.

    Raises:
        ValueError: the folder is there and is not empty, its name gives no package name, or it cannot be written.
    """
    package = re.sub(r"[^a-z0-9]+", "_", path.resolve().name.lower()).strip("_")
    if not package.isidentifier():
        raise ValueError(f"{path.name!r} gives no name for a package: it has to begin with a letter")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is there already: name a folder that is not")
    words = {"package": package, "distribution": package.replace("_", "-"), "version": __version__}
    texts = {
        "pyproject.toml": _PYPROJECT.format(**words),
        "README.md": _README.format(**words),
        ".github/workflows/conformance.yml": _WORKFLOW.format(**words),
        f"{package}/__init__.py": _MODULE.format(methods=_methods()),
    }
    try:
        for name, text in texts.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    return [path / name for name in texts]


def _methods() -> str:
    """Return the abstract methods with their signatures as they are written, each refusing."""
    source = inspect.getsource(driver).splitlines()
    (interface,) = (
        node
        for node in ast.parse("\n".join(source)).body
        if isinstance(node, ast.ClassDef) and node.name == "NetDevDriver"
    )
    written = []
    for node in interface.body:
        if not isinstance(node, ast.FunctionDef) or node.name not in NetDevDriver.__abstractmethods__ - {"probe"}:
            continue
        head = source[node.lineno - 1 : node.body[0].lineno - 1]
        summary = (ast.get_docstring(node) or "").splitlines()[0]
        capability = _CAPABILITY.get(node.name, f'"{node.name}"')
        body = [f'"""{summary}"""', f"raise _refused({capability})"]
        written.append("\n".join(["    @operation", *head, textwrap.indent("\n".join(body), " " * 8), ""]))
    return "\n".join(written)
