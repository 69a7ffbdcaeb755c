"""The image of images/freebsd-vm: what it starts from, its seed, and its making, as far as this machine allows.

FreeBSD's own image is fetched by 'make freebsd-image', and never by a test.
"""

import hashlib
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from waiting import processes, wait_until

from conformance.environments import disks, freebsd_image, freebsd_provision
from conformance.environments.base import Options
from conformance.environments.freebsd_vm import FreebsdVm
from conformance.errors import EnvironmentUnavailable

DISK = Path(os.environ.get("REFNET_FREEBSD_DISK") or "/nonexistent")
KEY = Path(os.environ.get("REFNET_FREEBSD_KEY") or "/nonexistent")
needs_a_disk = pytest.mark.skipif(
    not DISK.exists(),
    reason="there is no FreeBSD disk: REFNET_FREEBSD_DISK and REFNET_FREEBSD_KEY name one and its key",
)
LIMIT = 600


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(freebsd_image.MIRROR, raising=False)
    return tmp_path / "cache" / "refnet" / "freebsd-vm"


@pytest.fixture
def recipe(tmp_path):
    return Path(shutil.copytree(freebsd_image.recipe_directory(), tmp_path / "recipe"))


def pin(recipe, content, mirror="http://127.0.0.1:1"):
    """Have a recipe start from other bytes."""
    (recipe / "release.toml").write_text(
        f'release = "test"\nfile = "disk.xz"\nsha512 = "{hashlib.sha512(content).hexdigest()}"\n'
        f'mirrors = ["{mirror}"]\npath = "VM-IMAGES"\n'
    )


def make(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "conformance.environments.freebsd_image", *map(str, arguments)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


# -- what it starts from --------------------------------------------------------------------------------------


def test_the_release_is_named_in_one_file_and_its_names_agree():
    recipe = freebsd_image.recipe_directory()
    pinned = freebsd_image.release(recipe)
    assert re.fullmatch(r"[0-9a-f]{128}", pinned.sha512)
    assert pinned.file == f"FreeBSD-{pinned.name}-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz"
    assert all(one.endswith(f"/VM-IMAGES/{pinned.name}/amd64/Latest/{pinned.file}") for one in pinned.addresses)
    assert all(one.startswith("https://") for one in pinned.addresses)
    for path in recipe.iterdir():
        assert path.name == "release.toml" or pinned.name not in path.read_text(), path


def test_another_mirror_takes_the_place_of_all(monkeypatch):
    monkeypatch.setenv(freebsd_image.MIRROR, "http://mirror.example/FreeBSD/releases/")
    (address,) = freebsd_image.release(freebsd_image.recipe_directory()).addresses
    assert address.startswith("http://mirror.example/FreeBSD/releases/VM-IMAGES/")


@pytest.mark.parametrize("mirror", ["mirror.example", "file:///tmp", "http://", "-o"])
def test_a_mirror_that_is_no_address_is_refused(monkeypatch, mirror):
    monkeypatch.setenv(freebsd_image.MIRROR, mirror)
    with pytest.raises(EnvironmentUnavailable, match="is no address: expected http"):
        freebsd_image.release(freebsd_image.recipe_directory())


def test_every_file_that_shapes_the_image_changes_its_hash(recipe):
    seen = {freebsd_image.recipe_hash(recipe)}
    names = {path.name for path in recipe.iterdir()} - {"README.md"}
    for name in sorted(names):
        (recipe / name).write_text((recipe / name).read_text() + "#")
        seen.add(freebsd_image.recipe_hash(recipe))
    assert len(seen) == 1 + len(names) == 6


# -- the seed -------------------------------------------------------------------------------------------------


@pytest.fixture
def seeded(tmp_path, recipe):
    """A folder in which everything is ready for the first boot, and the seed."""
    folder = tmp_path / "making"
    folder.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "1G"], check=True)
    seed = freebsd_provision.prepare(recipe, folder / "disk.qcow2", folder / "key")
    (tmp_path / "seed.iso").write_bytes(seed)
    return folder, tmp_path / "seed.iso"


def read(seed, name):
    """Read a file of the seed as FreeBSD does: by its Rock Ridge name."""
    return subprocess.run(["isoinfo", "-R", "-i", seed, "-x", f"/{name}"], check=True, capture_output=True).stdout


def test_the_seed_is_what_nuageinit_looks_for(seeded):
    _, seed = seeded
    said = subprocess.run(["isoinfo", "-d", "-i", seed], check=True, capture_output=True, text=True).stdout
    assert "Volume id: cidata" in said
    assert "Rock Ridge signatures" in said
    assert yaml.safe_load(read(seed, "meta-data")) == {"instance-id": "refnet", "local-hostname": "refnet"}


def test_the_seed_lets_root_in_and_keeps_the_first_boot_short(seeded):
    folder, seed = seeded
    text = read(seed, "user-data").decode()
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    (user,) = config["users"]
    assert user == {"name": "root", "ssh_authorized_keys": [(folder / "key.pub").read_text().strip()]}
    files = {one["path"]: one for one in config["write_files"]}
    assert files["/etc/ssh/sshd_config"]["append"] is True
    assert files["/etc/ssh/sshd_config"]["content"] == "PermitRootLogin prohibit-password\n"
    for service in ("firstboot_freebsd_update", "firstboot_pkg_upgrade"):
        assert files[f"/etc/rc.conf.d/{service}"]["content"] == f'{service}_enable="NO"\n'


def test_nothing_of_the_seed_stays_and_the_disk_has_room(seeded):
    folder, _ = seeded
    assert sorted(path.name for path in folder.iterdir()) == ["disk.qcow2", "key", "key.pub"]
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    said = subprocess.run(["qemu-img", "info", folder / "disk.qcow2"], check=True, capture_output=True, text=True)
    assert "virtual size: 5 GiB" in said.stdout


def test_what_is_installed_is_what_the_list_names():
    names = freebsd_provision.packages(freebsd_image.recipe_directory())
    assert {"python3", "dnsmasq", "openvswitch"} == set(names)


# -- when it cannot be made -----------------------------------------------------------------------------------


def test_without_a_network_it_says_what_to_download_and_where_to_put_it(cache):
    done = make(FREEBSD_MIRROR="http://127.0.0.1:1")
    pinned = freebsd_image.release(freebsd_image.recipe_directory())
    assert done.returncode == 3
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for words in (
        f"http://127.0.0.1:1/VM-IMAGES/{pinned.name}/amd64/Latest/{pinned.file}",
        "it cannot be reached",
        pinned.sha512,
        str(cache / "downloads"),
        "make freebsd-image IMAGE=FILE",
        freebsd_image.MIRROR,
    ):
        assert words in done.stderr
    assert freebsd_image.cached() is None


@pytest.mark.parametrize(("name", "words"), [("other.xz", "is not FreeBSD-"), ("none", "cannot be read")])
def test_a_file_that_is_not_freebsds_is_refused(cache, tmp_path, name, words):
    (tmp_path / "other.xz").write_bytes(lzma.compress(b"other"))
    done = make(tmp_path / name)
    assert done.returncode == 3
    assert words in done.stderr
    assert "SHA-512" in done.stderr
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_file_that_was_put_there_is_looked_at_as_well(cache):
    wanted = freebsd_image.release(freebsd_image.recipe_directory())
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / wanted.file).write_bytes(b"other")
    with pytest.raises(EnvironmentUnavailable, match="as FreeBSD published it: its SHA-512 is"):
        freebsd_image.freebsd_image()


def test_what_cannot_be_unpacked_is_told_and_leaves_nothing(cache, recipe, tmp_path):
    broken = lzma.compress(os.urandom(100_000))[:50_000]
    pin(recipe, broken)
    (tmp_path / "disk.xz").write_bytes(broken)
    with pytest.raises(EnvironmentUnavailable, match=r"disk\.xz cannot be unpacked"):
        freebsd_image.freebsd_image(given=tmp_path / "disk.xz", recipe=recipe)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_what_does_not_boot_is_told_with_the_consoles_end(cache, recipe, tmp_path):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "disk", "64M"], check=True)
    packed = lzma.compress((tmp_path / "disk").read_bytes())
    pin(recipe, packed)
    (tmp_path / "disk.xz").write_bytes(packed)
    with pytest.raises(EnvironmentUnavailable, match=r"does not boot by BIOS.*\n(.*\n)*.*No bootable device"):
        freebsd_image.freebsd_image(given=tmp_path / "disk.xz", recipe=recipe)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_too_little_room_is_told_before_anything_is_fetched(cache, monkeypatch):
    monkeypatch.setattr(freebsd_image, "_ROOM", 1 << 60)
    with pytest.raises(EnvironmentUnavailable, match=r"GiB are free in .*XDG_CACHE_HOME"):
        freebsd_image.freebsd_image()


def test_programs_that_are_missing_are_named_with_their_packages(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnavailable) as caught:
        freebsd_image.freebsd_image()
    for package in ("qemu-system-x86", "qemu-utils", "xorriso", "openssh-client"):
        assert package in str(caught.value)


def test_a_second_maker_is_told_of_the_first(cache):
    cache.mkdir(parents=True)
    with freebsd_image._only_maker(), pytest.raises(EnvironmentUnavailable, match=r"another process.*fuser"):
        freebsd_image.freebsd_image()


# -- its making, on a FreeBSD disk that has no cloud-init: who may come in is settled there already -----------


@pytest.fixture
def prepared(recipe, tmp_path, monkeypatch):
    """A recipe for the disk that there is, which installs nothing."""
    packed = tmp_path / "disk.xz"
    with lzma.open(packed, "wb", preset=0) as file:
        file.write(DISK.read_bytes())
    pin(recipe, packed.read_bytes())
    monkeypatch.setattr(freebsd_provision, "prepare", lambda recipe, disk, key: shutil.copy(KEY, key) and b"")
    return recipe, packed


@needs_a_disk
def test_an_image_is_made_and_boots(cache, prepared):
    recipe, packed = prepared
    (recipe / "provision").write_text('echo "told: $*"; echo "$*" >/root/packages.txt; touch /provisioned; cat; sync\n')
    said = []
    image = freebsd_image.freebsd_image(said.append, packed, recipe)
    assert any("told: python3 dnsmasq openvswitch" in words for words in said)
    assert image.directory == cache / freebsd_image.recipe_hash(recipe)
    assert (image.directory / "packages.txt").read_text() == "python3 dnsmasq openvswitch\n"
    assert sorted(path.name for path in cache.iterdir()) == sorted([image.directory.name, "lock"])
    assert freebsd_image.freebsd_image(said.append, recipe=recipe) == image, "and once only"

    with FreebsdVm(Options(disk=image.disk, ssh_key=image.key)) as vm:
        channel = vm.start(["ls", "/provisioned", "/root/provision"])
        assert b"".join(data for stream, data in channel.receive() if stream == 1) == b"/provisioned\n"
        channel.close()


@needs_a_disk
def test_a_script_that_fails_there_is_told_with_its_last_words(cache, prepared):
    recipe, packed = prepared
    (recipe / "provision").write_text("echo one; echo 'no such package' >&2; exit 7\n")
    with pytest.raises(EnvironmentUnavailable, match=r"has failed \(status 7\).*\n  one\n  no such package"):
        freebsd_image.freebsd_image(given=packed, recipe=recipe)
    assert [path.name for path in cache.iterdir()] == ["lock"]


@needs_a_disk
def test_a_maker_that_is_killed_leaves_no_machine_and_the_next_one_no_files(cache, prepared, tmp_path):
    recipe, packed = prepared
    (recipe / "provision").write_text("echo there; sleep 1000\n")
    program = (
        "import shutil, sys; from pathlib import Path\n"
        "from conformance.environments import freebsd_image, freebsd_provision\n"
        f"freebsd_provision.prepare = lambda recipe, disk, key: shutil.copy({str(KEY)!r}, key) and b''\n"
        f"say = lambda words: print(words, flush=True)\n"
        f"freebsd_image.freebsd_image(say, Path({str(packed)!r}), Path({str(recipe)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert any("there" in line for line in process.stdout)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    wait_until(lambda: not processes(f"{cache}/making-"), "QEMU has ended", LIMIT)
    assert list(cache.glob("making-*"))
    (recipe / "provision").write_text("exit 7\n")
    with pytest.raises(EnvironmentUnavailable, match="status 7"):
        freebsd_image.freebsd_image(given=packed, recipe=recipe)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_the_image_that_was_made_is_the_one_that_is_booted(cache):
    directory = cache / freebsd_image.recipe_hash(freebsd_image.recipe_directory())
    directory.mkdir(parents=True)
    (directory / "disk.qcow2").write_bytes(b"QFI\xfb" + bytes(600))
    found = FreebsdVm.availability(Options())
    assert found.missing == ()
    assert str(directory / "disk.qcow2") in found.found
    assert disks.look(directory / "disk.qcow2").format == "qcow2"
