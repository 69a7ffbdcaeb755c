"""The virtual environment with the peers, made when it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, progress

_FOLDER = ROOT / "build" / "bench-venv"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: What is not installed there, as newer releases are: it is downloaded into the environment's folder ``train``.
_OLD = Path(__file__).with_name("train.txt")
#: A copy of what the environment was made from; without it, it was not finished.
_FINISHED = _FOLDER / "requirements.txt"
_LOG = ROOT / "build" / "bench-venv.log"
#: Seconds; it is some 200 packages.
_TIME_LIMIT = 600


class NotInstalled(Exception):
    """The peers cannot be had here; the message says why."""


def interpreter() -> str:
    """Return the interpreter that has the peers.

    Raises:
        NotInstalled: there is none and none could be made.
    """
    python = _FOLDER / "bin" / "python"
    wanted = _REQUIREMENTS.read_text() + _OLD.read_text()
    if _FINISHED.is_file() and _FINISHED.read_text() == wanted:
        return str(python)
    progress(f"installing the peers into {_FOLDER.relative_to(ROOT)}: a minute or two")
    _FOLDER.parent.mkdir(exist_ok=True)
    with _LOG.open("w") as log:
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(_FOLDER)],
            [*pip, "install", "-r", str(_REQUIREMENTS)],
            [*pip, "download", "--no-deps", "--only-binary", ":all:", "-r", str(_OLD), "-d", str(_FOLDER / "train")],
        ):
            try:
                subprocess.run(command, check=True, stdout=log, stderr=log, timeout=_TIME_LIMIT)
            except (OSError, subprocess.SubprocessError) as error:
                raise NotInstalled(f"{error} (see {_LOG.relative_to(ROOT)})") from None
    _FINISHED.write_text(wanted)
    return str(python)


def versions(python: str) -> str:
    """Return the peers' versions as they are installed."""
    script = (
        "from importlib.metadata import version\n"
        "print(', '.join(f'{name} {version(name)}' for name in ('os-vif', 'nova', 'neutron', 'pyroute2')))"
    )
    installed = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    old = ", ".join(one.name.split("-py")[0].replace("-", " ") for one in (_FOLDER / "train").glob("*.whl"))
    return f"{installed}; not installed, but read: {old}"
