"""What is told of a file that is given as a disk, and of the other words about a machine: before anything is booted."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from conformance.environments import disks
from conformance.environments.base import Options
from conformance.environments.freebsd_vm import FreebsdVm

BOOTABLE = bytes(510) + b"\x55\xaa" + bytes(512)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(BOOTABLE)
    return path


def command(*arguments, cache, env="freebsd-vm", path=os.environ["PATH"]):
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "run", "--env", env, "--netdev", "linux", *map(str, arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("content", "expected"), [(BOOTABLE, "raw"), (b"QFI\xfb" + bytes(600), "qcow2"), (BOOTABLE[:512], "raw")]
)
def test_a_disk_is_told_by_its_first_bytes(disk, content, expected):
    disk.write_bytes(content)
    found = disks.look(disk)
    assert (found.path, found.format) == (disk, expected)


def test_a_disk_that_changes_is_another_one(disk):
    before = disks.look(disk).key
    assert disks.look(disk).key == before
    os.utime(disk, (1, 1))
    assert disks.look(disk).key != before


def test_a_link_leads_to_the_disk(disk, tmp_path):
    (tmp_path / "link").symlink_to(disk)
    assert disks.look(tmp_path / "link") == disks.look(disk)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (bytes(4096), "its first sector is no boot record"),
        (b"short", "its first sector is no boot record"),
        (b"\xfd7zXZ\0" + bytes(600), "compressed by xz.*'xz --decompress --keep'"),
        (b"\x1f\x8b\x08" + bytes(600), "compressed by gzip.*'gunzip --keep'"),
        (b"KDMV" + bytes(600), "VMware.*'qemu-img convert -O qcow2'"),
    ],
)
def test_what_is_no_disk_is_told_with_what_makes_one_of_it(disk, content, words):
    disk.write_bytes(content)
    with pytest.raises(ValueError, match=f"--disk {disk}: .*{words}"):
        disks.look(disk)


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in {
        tmp_path / "none": "there is no such file",
        tmp_path: "it is a directory",
        tmp_path / "pipe": "it is no regular file",
        tmp_path / "loop": "it cannot be read",
    }.items():
        with pytest.raises(ValueError, match=words):
            disks.look(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who becomes somebody else")
@pytest.mark.parametrize("option", ["disk", "ssh_key"])
def test_what_this_user_may_not_read_is_told(nobody, disk, option):
    program = (
        "from conformance.environments.freebsd_vm import FreebsdVm, Options; from pathlib import Path; import os\n"
    )
    program += "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        path = shutil.copy(disk, folder)
        os.chmod(path, 0)
        program += f"FreebsdVm(Options({option}=Path({path!r})))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "this user may not read it" in done.stderr.splitlines()[-1]


# -- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--disk", ""], "--disk is empty: name a file, or leave it out"),
        (["--disk", "/nonexistent"], "--disk /nonexistent: there is no such file"),
        (["--ssh-key", "/nonexistent"], "--ssh-key /nonexistent: there is no such file"),
        (["--ssh-key", "/"], "--ssh-key /: it is no regular file"),
        (["--ssh-user=-oProxyCommand=reboot"], "is no name of a user"),
        (["--ssh-user", "root;reboot"], "is no name of a user"),
        (["--ssh-user", "root\nreboot"], "is no name of a user"),
        (["--ssh-user", "$(reboot)"], "is no name of a user"),
        (["--memory", "16"], "not a number of MiB from 256"),
        (["--kernel", "generic"], "--kernel means nothing to the environment freebsd-vm; it is for linux-vm"),
    ],
)
def test_a_wrong_word_about_the_machine_is_refused_before_anything_is_run(arguments, words, tmp_path):
    status, said = command(*arguments, cache=tmp_path)
    assert status == 2
    assert words in said
    assert list(tmp_path.iterdir()) == []


def test_a_disk_means_nothing_elsewhere(disk, tmp_path):
    status, said = command("--disk", disk, cache=tmp_path, env="linux-vm")
    assert status == 2
    assert "--disk means nothing to the environment linux-vm; it is for freebsd-vm" in said


@pytest.mark.parametrize("path", [os.environ["PATH"], "/nowhere"], ids=["what is here", "no programs"])
def test_without_a_disk_it_says_how_to_get_one(tmp_path, path):
    """Whatever else is missing: who has to get several things is told of all at once."""
    status, said = command(cache=tmp_path, path=path)
    assert status == 3
    for words in ("make freebsd-image", "--disk", "--ssh-key", str(tmp_path)):
        assert words in said
    assert list(tmp_path.iterdir()) == []


def test_programs_that_are_missing_are_named_with_their_packages(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = "; ".join(FreebsdVm.availability(Options(disk=disk)).missing)
    assert "apt-get install --no-install-recommends qemu-system-x86" in missing
    assert "apt-get install openssh-client" in missing
