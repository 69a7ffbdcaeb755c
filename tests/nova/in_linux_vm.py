"""Runs the tests of Nova's VIF driver in linux-vm, whose kernel has what others may lack: 8021q, and netdevsim's card.

    .venv-nova/bin/python tests/nova/in_linux_vm.py [WHAT PYTEST TAKES …]

Without arguments it is only those that this host may have to leave out. What they import is brought along from this
Python's environment, compiled modules too: the machine is a Debian of this architecture, and its Python has to be of
the same version.
"""

from __future__ import annotations

import io
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import nova_copy
import nova_worker
import os_vif
import os_vif_on_refnet
import pytest
import vif_plug_ovs.ovsdb.impl_idl

import conformance
import refnet
from conformance.environments.base import STDOUT, Options
from conformance.environments.linux_vm import LinuxVm
from conformance.errors import EnvironmentUnavailable

_HERE = Path(__file__).resolve().parent
_USED = (hypothesis, os_vif_on_refnet, pytest, vif_plug_ovs.ovsdb.impl_idl)
_MEMORY = 2048
_WITHOUT_ARGUMENTS = ["-k", "vlan or functions"]
_STATUS = "nova-test: status "


def main(arguments: list[str]) -> int:
    archive = _archive()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    tests = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/nova/test_nova_vif.py"]
    tests += ["tests/nova/test_nova_ovs.py", *(arguments or _WITHOUT_ARGUMENTS)]
    script = "; ".join(
        [
            "set -e",
            f"command -v python{version} || {{ echo its Python is not {version} but $(python3 -V); exit 3; }} >&2",
            "cd $(mktemp -d)",
            f"head -c {len(archive)} | tar xz",
            "mkdir patched && cp -a site/nova patched && cp -a changed/nova patched",
            "export PYTHONPATH=$PWD/site REFNET_NOVA_PATCHED=$PWD/patched PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",
            f"python3 -m conformance.environments.local {shlex.join(tests)} || status=$?",
            f'echo "{_STATUS}${{status:-0}}"',
        ]
    )
    status = 3
    with LinuxVm(Options(say=_say, memory=_MEMORY)) as machine:
        channel = machine.start(["sh", "-c", script])
        channel.send(archive)
        for stream, data in channel.receive():
            text = data.decode(errors="replace")
            (sys.stdout if stream == STDOUT else sys.stderr).write(text)
            sys.stdout.flush()
            if _STATUS in text:
                status = int(text.partition(_STATUS)[2].split()[0])
        channel.close()
    return status


def _say(words: str) -> None:
    print(f"nova-test: {words}", file=sys.stderr)


def _archive() -> bytes:
    """Return what is brought along: site, changed (what the patch makes of Nova's files), and the tests."""
    found = _files()
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        site = Path(nova_worker.libvirt_vif.__file__).parents[3]
        for path in nova_copy.CHANGED:
            (Path(folder) / path).parent.mkdir(parents=True)
            shutil.copy(site / path, Path(folder) / path)
        nova_copy.apply(Path(folder))
        archive.add(Path(folder, "nova/privsep"), "changed/nova/privsep")
        for place, path in sorted(found.items()):
            archive.add(path, place, recursive=False)
        for path in (_HERE.parent / "conftest.py", *_HERE.glob("*.py")):
            archive.add(path, f"tests/{path.relative_to(_HERE.parent)}")
    return buffer.getvalue()


def _files() -> dict[str, Path]:
    """Return the files of all packages that are imported by now, by their place in the archive."""
    nova_worker.prepare()
    os_vif.initialize()
    site = Path(nova_worker.libvirt_vif.__file__).parents[3]
    imported = {name.partition(".")[0] for name, one in sys.modules.items() if _is_below(one, site)}
    found = {}
    for name in imported:
        for path in _below(site / name) if (site / name).is_dir() else site.glob(f"{name}.*"):
            found[f"site/{path.relative_to(site)}"] = path
    for said in site.glob("*.dist-info"):
        found |= {f"site/{path.relative_to(site)}": path for path in _below(said)}
    for package in (conformance, refnet):
        root = Path(package.__path__[0])
        found |= {f"site/{path.relative_to(root.parent)}": path for path in _below(root)}
    return found


def _is_below(module: object, site: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(file).is_relative_to(site)


def _below(root: Path) -> Iterator[Path]:
    """Return the files below a directory, but for those of other people's tests and translations."""
    for path in root.iterdir():
        if path.is_dir():
            if path.name not in ("tests", "locale"):
                yield from _below(path)
        else:
            yield path


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EnvironmentUnavailable as unavailable:
        _say(str(unavailable))
        sys.exit(3)
