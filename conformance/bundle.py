"""What is brought along into an environment: the suite, the drivers under test, and the pure-Python packages they need.

The environment has no package index, and none is asked. A package comes from where this Python imports it: from a
checkout, an editable installation, an installed distribution or a wheel. What a distribution says of itself (its
version, its entry points) comes with it. Compiled modules are left behind: they would be another system's. Packages
that have a fallback in Python use it there; the others are named when the driver cannot be imported.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, packages_distributions
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import conformance
import refnet

#: What the suite needs where specs run. Those for older Pythons come along from newer ones.
_SUITE_NEEDS = ("pytest", "pytest-xdist", "pytest-timeout", "pyroute2", "ovs", "exceptiongroup", "tomli")
_OWN = (conformance, refnet)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their place in the bundle, and the compiled modules that were left behind."""

    files: Mapping[str, Path]
    left_behind: tuple[str, ...] = ()

    def archive(self) -> bytes:
        """Return the bundle as a compressed tar file."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=3) as archive:
            for place, path in sorted({**self.files, **_bytecode(self.files)}.items()):
                member = tarfile.TarInfo(place)
                member.size = path.stat().st_size
                member.mtime = int(path.stat().st_mtime)
                with path.open("rb") as content:
                    archive.addfile(member, content)
        return buffer.getvalue()


def _bytecode(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return what this Python has compiled of the files already.

    A Python of the same version finds it valid, since files keep their times, and is spared what takes long where the
    processor is emulated; any other ignores it (PEP 3147).
    """
    found = {}
    for place, path in files.items():
        if path.suffix == ".py":
            cached = Path(cache_from_source(str(path)))
            if cached.is_file():
                found[f"{PurePosixPath(place).parent}/__pycache__/{cached.name}"] = cached
    return found


@dataclass(slots=True)
class _Collected:
    files: dict[str, Path] = field(default_factory=dict)
    left_behind: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)


def collect(driver_modules: Iterable[str], imported: Iterable[str]) -> Bundle:
    """Return what a run of the suite against drivers needs.

    Their modules have to be imported already; ``imported`` names the top-level modules that came with them.
    """
    # refnet itself comes as its packages alone: its entry point would have pytest load the suite's plugin twice.
    found = _Collected(seen={"refnet"})
    for package in _OWN:
        _add_module(found, package.__name__)
    for name in _SUITE_NEEDS:
        _add_distribution(found, name)
    found.left_behind.clear()  # the suite works without
    own = {module.partition(".")[0] for module in driver_modules}
    for module in sorted(own):
        for name in _distributions_of(module):
            _add_distribution(found, name)
    # An editable installation does not list its files, and a checkout on PYTHONPATH is no installation at all:
    # what the driver has really imported is the other source.
    for name in sorted({*own, *imported} - sys.stdlib_module_names):
        _add_module(found, name)
    # What is there in Python as well is not missed.
    missed = [place for place in found.left_behind if f"{place.partition('.')[0]}.py" not in found.files]
    return Bundle(found.files, tuple(sorted(missed)))


def unpack_wheel(wheel: Path, directory: Path) -> None:
    """Unpack a wheel into a directory from which Python then imports it.

    Raises:
        ValueError: it is no wheel, or one with compiled modules, which belong to one system only.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            if not any(name.endswith(".dist-info/METADATA") for name in names):
                raise ValueError(f"--wheel {wheel}: that is no wheel: it has no METADATA")
            own = [name for name in names if name.split("/")[0] in (package.__name__ for package in _OWN)]
            if own:
                raise ValueError(f"--wheel {wheel}: it has {own[0]}: a driver's wheel brings neither suite nor library")
            compiled = [name for name in names if name.endswith(tuple(EXTENSION_SUFFIXES))]
            if compiled:
                raise ValueError(f"--wheel {wheel}: it has compiled modules ({compiled[0]}); expected pure Python")
            archive.extractall(directory)  # noqa: S202  (zipfile keeps members below it)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"--wheel {wheel}: {error}; expected a file made by 'pip wheel' or 'python -m build'"
        ) from None


def _add_module(found: _Collected, name: str) -> None:
    """Add a top-level module or package from the place where it was imported from."""
    module = sys.modules.get(name)
    if module is None:
        return
    for place in getattr(module, "__path__", ()):
        root = Path(place)
        _add_files(found, ((f"{name}/{path.relative_to(root).as_posix()}", path) for path in _files_below(root)))
    file = getattr(module, "__file__", None)
    if file and not hasattr(module, "__path__"):
        _add_files(found, [(Path(file).name, Path(file))])


def _add_distribution(found: _Collected, name: str) -> None:
    """Add an installed distribution and those that it needs; what is not installed is not needed by this Python."""
    name = canonicalize_name(name)
    if name in found.seen:
        return
    found.seen.add(name)
    try:
        one = distribution(name)
    except PackageNotFoundError:
        return
    _add_files(found, _files_of(one))
    for requirement in _requirements(one.requires or ()):
        # Markers are not asked: they would speak of this Python and this system, and not of those over there.
        _add_distribution(found, requirement.name)


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if "extra ==" not in str(requirement.marker or ""):
            yield requirement


def _files_of(one: Distribution) -> Iterator[tuple[str, Path]]:
    """Give a distribution's files that lie among the packages; programs and data elsewhere are not for import."""
    for file in one.files or ():
        path = Path(str(one.locate_file(file)))
        if ".." not in file.parts and not file.is_absolute() and path.is_file():
            yield file.as_posix(), path


def _add_files(found: _Collected, files: Iterable[tuple[str, Path]]) -> None:
    for place, path in files:
        if place.endswith((".pyc", ".pyo", ".pth")):
            continue
        if place.endswith((".so", ".pyd", ".dylib")):
            found.left_behind.add(place)
        else:
            found.files.setdefault(place, path)


def _files_below(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if path.name != "__pycache__" and not path.name.startswith("."):
                yield from _files_below(path)
        elif path.is_file():
            yield path


def _distributions_of(package: str) -> Sequence[str]:
    """Return the distributions that a top-level package belongs to; an editable one is known by its place."""
    listed = packages_distributions().get(package)
    if listed:
        return listed
    file = Path(getattr(sys.modules.get(package), "__file__", None) or "/")
    return [one.name for one in distributions() if any(root in file.parents for root in _editable_roots(one))]


def _editable_roots(one: Distribution) -> Iterator[Path]:
    """Give the folder that an editable distribution was installed from (PEP 610)."""
    text = one.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if origin.get("dir_info", {}).get("editable") and origin["url"].startswith("file://"):
        yield Path(unquote(urlsplit(origin["url"]).path))
