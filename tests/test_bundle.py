"""What is brought along into an environment: seen by importing it with nothing else around."""

import io
import subprocess
import sys
import tarfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from conformance import bundle

IMPORTS = (
    "import conformance.plugin, conformance.runner, conformance.collector, pytest, xdist, pytest_timeout, pyroute2"
)


def unpacked(one, directory):
    with tarfile.open(fileobj=io.BytesIO(one.archive()), mode="r:gz") as archive:
        assert all(member.isreg() for member in archive)
        archive.extractall(directory, filter="data") if sys.version_info >= (3, 12) else archive.extractall(directory)
    return directory


def alone(directory, code):
    """Run Python with the bundle and the standard library, and nothing else."""
    return subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {str(directory)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd="/",
    )


@pytest.fixture(scope="module")
def outsiders(tmp_path_factory):
    """Bring an editable checkout along: the second driver of these tests."""
    import refnet_iproute2.driver  # noqa: F401

    one = bundle.collect(["refnet_iproute2.driver"], [])
    return one, unpacked(one, tmp_path_factory.mktemp("bundle"))


def test_the_suite_needs_nothing_else(outsiders):
    done = alone(outsiders[1], IMPORTS)
    assert done.returncode == 0, done.stderr


def test_an_editable_checkout_is_brought_along_with_what_it_says_of_itself(outsiders):
    code = (
        "import refnet_iproute2; from importlib.metadata import version, entry_points;"
        "print(refnet_iproute2.IpCommandDriver.__name__, version('refnet-iproute2'),"
        "[point.name for point in entry_points(group='refnet.netdev')])"
    )
    done = alone(outsiders[1], code)
    assert done.stdout.split() == ["IpCommandDriver", "0.1.0", "['iproute2']"], done.stderr


def test_the_suites_plugin_is_loaded_once(outsiders):
    code = "from importlib.metadata import entry_points; print([p.value for p in entry_points(group='pytest11')])"
    assert "conformance" not in alone(outsiders[1], code).stdout


def test_nothing_compiled_is_brought_along(outsiders):
    assert not [place for place in outsiders[0].files if place.endswith((*EXTENSION_SUFFIXES, ".pyc"))]


def test_what_is_compiled_is_named(tmp_path, monkeypatch):
    package = tmp_path / "half_compiled"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / f"fast{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("half_compiled")
    one = bundle.collect(["half_compiled"], [])
    assert one.left_behind == (f"half_compiled/fast{EXTENSION_SUFFIXES[0]}",)
    assert "half_compiled/__init__.py" in one.files


def test_what_the_driver_imported_is_brought_along_installed_or_not(tmp_path, monkeypatch):
    (tmp_path / "lone_driver.py").write_text("import lone_helper\n")
    (tmp_path / "lone_helper.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("lone_driver")
    one = bundle.collect(["lone_driver"], ["lone_helper", "json", "not_there"])
    assert {"lone_driver.py", "lone_helper.py"} <= set(one.files)
    assert not [place for place in one.files if place.startswith("json")]


def test_it_is_small(outsiders):
    assert len(outsiders[0].archive()) < 10_000_000


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.py"], "that is no wheel"),
        (["a-1.dist-info/METADATA", f"a{EXTENSION_SUFFIXES[0]}"], "it has compiled modules"),
    ],
)
def test_a_file_that_is_no_wheel_of_pure_python_is_refused(tmp_path, names, words):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(ValueError, match=words):
        bundle.unpack_wheel(wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()
