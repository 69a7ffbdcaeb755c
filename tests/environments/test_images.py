"""The Linux image: its cache, whatever happens to a build, and what is in it."""

import fcntl
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from conformance.environments import images
from conformance.errors import EnvironmentUnavailable

LIMIT = 60
#: A builder in a process of its own, for what must not happen to the tests'.
BUILDER = """
import sys
from pathlib import Path
from conformance.environments import images
from conformance.errors import EnvironmentUnavailable
try:
    print(images.linux_image(lambda words: print(words, flush=True), Path(sys.argv[1])).directory, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "refnet"


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe whose build is a few lines of shell: $1 is where the image goes."""

    def write(build):
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        for name in ("packages", "archives", "finish", "netdevsim", "initramfs", "init"):
            (folder / name).write_text(f"{name}\n")
        (folder / "build").write_text(f"set -eu\nlog={shlex.quote(str(tmp_path))}\n{build}\n")
        return folder

    return write


def builder(recipe):
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(recipe)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- the cache --------------------------------------------------------------------------------------------------------


def test_every_file_that_shapes_the_image_changes_its_hash(recipe):
    folder = recipe("true")
    seen = {images.recipe_hash(folder)}
    for path in sorted(folder.iterdir()):
        path.write_text(f"{path.read_text()}#")
        seen.add(images.recipe_hash(folder))
    assert len(seen) == 1 + len(list(folder.iterdir())) == 8


def test_the_files_of_the_recipe_are_all_hashed_but_those_that_do_not_shape_it():
    names = {path.name for path in images.recipe_directory().iterdir()}
    assert names - {"README.md", "Dockerfile", ".dockerignore"} == set(images._RECIPE)


def test_an_image_is_built_once(cache, recipe, tmp_path):
    folder = recipe('echo built >>"$log/builds"; echo hello >"$1/rootfs.tar"; echo "a 1.0 all" >"$1/packages.txt"')
    said = []
    assert images.cached(folder) is None
    first = images.linux_image(said.append, folder)
    assert first.directory == cache / f"linux-{images.recipe_hash(folder)}"
    assert first.rootfs.read_text() == "hello\n"
    assert first.packages == {"a": "1.0"}
    assert "building" in said[0]
    assert str(first.directory) in said[-1]
    assert images.linux_image(said.append, folder) == first == images.cached(folder)
    assert (tmp_path / "builds").read_text() == "built\n"


def test_what_has_long_not_been_used_goes_when_another_is_built(cache, recipe):
    used = images.linux_image(recipe=recipe("true")).directory
    for name in ("linux-old", "linux-new"):
        (cache / name).mkdir()
    (cache / "kvm-old.json").touch()
    for path in (used, cache / "linux-old", cache / "kvm-old.json"):
        os.utime(path, (0, 0))
    assert images.linux_image(recipe=recipe("true")).directory == used  # using it is what counts
    latest = images.linux_image(recipe=recipe("true # of another hash")).directory
    assert {path.name for path in cache.iterdir()} == {"lock", "linux-new", used.name, latest.name}


def test_two_builders_at_once_build_once(cache, recipe, tmp_path):
    folder = recipe('echo built >>"$log/builds"; while [ ! -e "$log/go" ]; do sleep 0.02; done')
    first = builder(folder)
    wait_until((tmp_path / "builds").exists, "the first one builds")
    second = builder(folder)
    try:
        assert "another process is building" in second.stdout.readline()
        (tmp_path / "go").touch()
        words = [process.communicate(timeout=LIMIT)[0] for process in (first, second)]
    finally:
        first.kill()
        second.kill()
    assert {text.splitlines()[-1] for text in words} == {str(images.cached(folder).directory)}
    assert (tmp_path / "builds").read_text() == "built\n"


def test_the_wait_for_another_builder_is_bounded(cache, recipe):
    folder = recipe("true")
    cache.mkdir(parents=True)
    with (cache / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentUnavailable, match=r"another process.*fuser"):
            images.linux_image(recipe=folder, wait_limit=0.3)
    assert images.linux_image(recipe=folder).directory.is_dir()


def test_a_build_dies_with_its_builder_and_the_next_one_removes_what_it_left(cache, recipe, tmp_path):
    folder = recipe(
        'echo half >"$1/rootfs.tar"; echo $$ >"$log/pid.new"; mv "$log/pid.new" "$log/pid"; exec sleep 1000'
    )
    process = builder(folder)
    wait_until((tmp_path / "pid").exists, "it builds")
    process.kill()
    process.wait()
    build = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(build), "the build has ended")
    (left,) = cache.glob("building-*")
    assert images.cached(folder) is None
    assert images.linux_image(recipe=recipe("true")).directory.is_dir()
    assert not left.exists()


def _group(leader):
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            yield int(path.parent.name)


def test_ctrl_c_ends_a_build_and_leaves_nothing(cache, recipe, tmp_path):
    folder = recipe("""trap 'exit 143' TERM; echo $$ >"$log/pid.new"; mv "$log/pid.new" "$log/pid"; sleep 1000""")
    process = builder(folder)
    wait_until((tmp_path / "pid").exists, "it builds")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert not list(_group(int((tmp_path / "pid").read_text())))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_build_that_fails_says_its_last_words_and_leaves_nothing(cache, recipe):
    folder = recipe('for n in $(seq 100); do echo "line $n"; done; echo half >"$1/disk.img"; exit 7')
    with pytest.raises(EnvironmentUnavailable) as caught:
        images.linux_image(recipe=folder)
    words = str(caught.value)
    assert "  line 100" in words
    assert "  line 81" in words
    assert "line 80" not in words
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_full_disk_is_told_with_what_helps(cache, recipe):
    with pytest.raises(EnvironmentUnavailable, match=r"the disk is full.*XDG_CACHE_HOME"):
        images.linux_image(recipe=recipe("dd if=/dev/zero of=/dev/full count=1"))


def test_a_cache_that_cannot_be_made_is_told(tmp_path, monkeypatch, recipe):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EnvironmentUnavailable, match=r"cannot be built in .*XDG_CACHE_HOME"):
        images.linux_image(recipe=recipe("true"))


def test_a_relative_cache_directory_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert images.cache_directory() == Path.home() / ".cache" / "refnet"


def test_missing_programs_are_named_with_their_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_PATH", str(tmp_path))
    assert any("apt-get install mmdebstrap'" in words for words in images.missing())
    assert any("apt-get install e2fsprogs'" in words for words in images.missing())


def test_a_kernel_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="expected cloud or generic"):
        images.LinuxImage(Path("/nowhere"), "x").kernel("rt")


# -- what is in it ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image():
    """The real one."""
    return images.linux_image(lambda words: print(words, file=sys.stderr))


@pytest.fixture(scope="module")
def members(image):
    with tarfile.open(image.rootfs) as archive:
        return {entry.name: entry for entry in archive}


def wanted():
    lines = (images.recipe_directory() / "packages").read_text().splitlines()
    return [name for line in lines for name in line.partition("#")[0].split()]


def test_what_the_recipe_wants_is_in_it(image):
    assert set(wanted()) <= set(image.packages)
    assert all(image.packages.values())
    assert not [name for name in image.packages if name.startswith("linux-image")]


def test_nothing_in_it_is_of_one_machine_or_of_one_day(image, members):
    assert members["./etc/machine-id"].size == 0
    assert members["./etc/resolv.conf"].size == 0
    assert not [name for name in members if re.search(r"ssh_host_|dropbear_.*_key$|/apt\.conf\.d/99mmdebstrap$", name)]
    assert not [name for name in members if re.match(r"\./(var/log|var/lib/apt/lists|tmp|run|dev|proc|sys)/[^p]", name)]
    with tarfile.open(image.rootfs) as archive:
        sources = archive.extractfile("./etc/apt/sources.list").read().decode()
    hosts = {line.split()[1].split("/")[2] for line in sources.splitlines()}
    assert hosts == {"deb.debian.org"}


def test_programs_have_their_owners_rights_and_capabilities(members):
    assert (members["./bin"].linkname, members["./usr/bin/ping"].uid) == ("usr/bin", 0)
    assert "SCHILY.xattr.security.capability" in members["./usr/bin/ping"].pax_headers
    assert members["./usr/bin/su"].mode & 0o4000
    assert members["./etc/shadow"].gname in ("", "shadow")
    assert members["./etc/shadow"].gid == 42


def test_the_machine_has_both_kernels(image):
    kernels = [line.split() for line in (image.directory / "kernels.txt").read_text().splitlines()]
    assert [flavour for flavour, *_ in kernels] == list(images.FLAVOURS)
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert {kernel[3] for kernel in kernels} == {architecture}
    for flavour in images.FLAVOURS:
        assert all(path.stat().st_size > 1_000_000 for path in image.kernel(flavour))


# -- the Dockerfile ---------------------------------------------------------------------------------------------------


def dockerfile():
    """Return the Dockerfile's instructions in order, continuation lines joined."""
    text = (images.recipe_directory() / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines()]


def test_the_dockerfile_installs_the_same_list_on_the_same_suite():
    (base, copy, run, _) = dockerfile()
    assert base == ("FROM", "debian:bookworm-slim")
    assert copy == ("COPY", "packages /tmp/packages")
    assert run[0] == "RUN"
    assert "--no-install-recommends $(sed 's/#.*//' /tmp/packages)" in run[1]
    assert (images.recipe_directory() / "build").read_text().count(" bookworm ") == 1


def test_the_dockerfiles_words_bring_the_packages_that_are_in_the_image(image, tmp_path):
    """On Debian's minimal system, which is what debian:bookworm-slim is; apt is told to simulate."""
    recipe = images.recipe_directory()
    for what in ("sources", "settings"):
        output = subprocess.run(["sh", str(recipe / "archives"), what], capture_output=True, check=True, text=True)
        (tmp_path / what).write_text(output.stdout)
    (tmp_path / "words").write_text(dict(dockerfile())["RUN"])
    (tmp_path / "simulate").write_text('Apt::Get::Simulate "true";\n')
    inside = "cd /tmp && dpkg-query -W -f '${Package} ${Version}\\n' >before"
    inside += " && APT_CONFIG=/tmp/simulate sh -eu words >output"
    command = ["mmdebstrap", "--variant=minbase", "--format=null", f"--aptopt={tmp_path / 'settings'}"]
    command += ['--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/*/man/*"]
    for name in ("words", "simulate"):
        command += [f"--customize-hook=copy-in {tmp_path / name} /tmp"]
    command += [f"--customize-hook=copy-in {recipe / 'packages'} /tmp"]
    command += [f'--customize-hook=chroot "$1" sh -c {shlex.quote(inside)}']
    for name in ("before", "output"):
        command += [f"--customize-hook=download /tmp/{name} {tmp_path / name}"]
    done = subprocess.run(
        [*command, "bookworm", "/dev/null", str(tmp_path / "sources")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    there = dict(line.split() for line in (tmp_path / "before").read_text().splitlines())
    there |= re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", (tmp_path / "output").read_text(), re.MULTILINE)
    assert set(there) == set(image.packages)
    differing = {name: (image.packages[name], there[name]) for name in there if there[name] != image.packages[name]}
    older = ["dpkg", "--compare-versions"]
    for ours, theirs in differing.values():  # the archive moves on; it does not go back
        assert subprocess.run([*older, ours, "lt", theirs], check=False).returncode == 0, differing
