"""The digest of a package's source: what tells whether two runs judged the same code."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def of_package(module: str) -> str:
    """Return the SHA-256, in hexadecimal, of the Python source of the package that an imported module belongs to."""
    package = sys.modules[module.partition(".")[0]]
    digest = hashlib.sha256()
    for place, path in sorted(_sources(package.__name__, package)):
        content = path.read_bytes()
        digest.update(f"{place}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources(name: str, package: object) -> list[tuple[str, Path]]:
    roots = [Path(place) for place in getattr(package, "__path__", ())]
    if roots:
        return [
            (path.relative_to(root).as_posix(), path)
            for root in roots
            for path in root.rglob("*.py")
            if "__pycache__" not in path.parts
        ]
    file = getattr(package, "__file__", None)
    return [(Path(file).name, Path(file))] if file else []
