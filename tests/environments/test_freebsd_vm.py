"""The environment freebsd-vm: disks that boot nowhere, systems that will not do, and a FreeBSD at work.

What takes a FreeBSD takes the disk in REFNET_FREEBSD_DISK, whose root lets in the key in REFNET_FREEBSD_KEY.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from waiting import processes, wait_until

from conformance import bundle, launcher
from conformance.environments import agent, freebsd_guest, images, kvm, linux_vm, qemu
from conformance.environments.base import STDERR, STDOUT, Options
from conformance.environments.freebsd_vm import FreebsdVm
from conformance.errors import EnvironmentUnavailable

DISK = Path(os.environ.get("REFNET_FREEBSD_DISK") or "/nonexistent")
KEY = Path(os.environ.get("REFNET_FREEBSD_KEY") or "/nonexistent")
needs_a_disk = pytest.mark.skipif(
    not DISK.exists(), reason="no FreeBSD disk is here: REFNET_FREEBSD_DISK and REFNET_FREEBSD_KEY name one and its key"
)
LIMIT = 300


def say(words):
    print(words, file=sys.stderr, flush=True)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own, also for the processes that it starts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def no_kvm(tmp_path, monkeypatch):
    """Whatever is known about KVM here is not for this test."""
    monkeypatch.setattr(kvm, "why_not", lambda guest, qemu: "not for this test")


def boot_record(words=""):
    """Return a disk whose boot record writes words with the BIOS, and then stands still."""
    # cld; xor ax, ax; mov ds, ax; mov si, 0x7c20; next: lodsb; or al, al; jz end; mov ah, 0x0e; xor bh, bh; int 0x10;
    # jmp next; end: hlt; jmp end
    code = bytes.fromhex("fc31c08ed8be207c ac08c07408b40e30ffcd10ebf3 f4ebfd")
    return (code.ljust(0x20, b"\x90") + words.encode() + b"\0").ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20)


# -- disks that boot nowhere ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_kvm")
def test_an_empty_disk_ends_with_what_the_firmware_says(temporary, tmp_path):
    disk = tmp_path / "zero.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    with pytest.raises(
        EnvironmentUnavailable, match=r"freebsd-vm: .*does not boot by BIOS.*\n(.*\n)*.*No bootable device"
    ):
        FreebsdVm(Options(disk=disk)).__enter__()
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("no_kvm")
@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("\r\nmountroot> ", "/etc/fstab has to name it"),
        ("\r\npanic: no", "kernel has panicked"),
        ("\r\nEnter full pathname of shell or RETURN for /bin/sh: ", "single-user mode"),
    ],
)
def test_a_boot_that_leads_nowhere_is_not_waited_for(tmp_path, words, meaning):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(boot_record(words))
    with pytest.raises(EnvironmentUnavailable, match=meaning) as caught:
        FreebsdVm(Options(disk=disk)).__enter__()
    assert words.strip() in str(caught.value)


@pytest.mark.usefixtures("no_kvm")
def test_a_disk_that_stands_still_is_given_up_with_the_consoles_end(temporary, tmp_path, monkeypatch):
    monkeypatch.setattr(freebsd_guest, "BOOT_LIMIT", 8)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(boot_record("here I stand"))
    with pytest.raises(
        EnvironmentUnavailable, match=r"no guest was up within 8 s; the console's end:\n(.*\n)*.*here I stand"
    ):
        FreebsdVm(Options(disk=disk)).__enter__()
    assert not processes(str(temporary))
    assert list(temporary.iterdir()) == []


def test_a_bar_that_turns_is_not_in_the_consoles_end(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[2JLoading-\b\\\b|\b/\b kernel\r\n")
    assert qemu.readable(log) == "Loading kernel\n"


# -- systems that will not do, shown by the Linux of images/linux ---------------------------------------------


_KEYS = {"client.pub": "authorized_keys", "host": "host_key"}


class OfLinux(FreebsdVm):
    """Boots Debian's kernel where FreeBSD would be; all else is the same."""

    def _boot(self, guest, folder):
        image = images.linux_image(say)
        kernel, initrd = image.kernel("cloud")
        linux_vm._make_keys(folder)
        (folder / "known_hosts").unlink()
        shutil.copy(folder / "client", self.keys / "client")
        booted = qemu.Guest(
            image.disk,
            guest.ready,
            "linux-for-freebsd",
            kernel=kernel,
            initrd=initrd,
            arguments=f"console={qemu.serial_console()} quiet panic=-1",
            seed=linux_vm._seed(folder, {"client.pub": "authorized_keys", "host": "host_key"})
            if self.has_keys
            else b"",
            boot_limit=LIMIT,
        )
        return super()._boot(booted, folder)


@pytest.fixture
def of_linux(tmp_path):
    """Return a function that tries to enter, and gives the words of the refusal."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(boot_record())
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)

    def enter(is_known=True, has_keys=True, **options):
        key = tmp_path / "client"
        key.touch(0o600)
        environment = OfLinux(Options(disk=disk, ssh_key=key if is_known else other, say=say, **options))
        environment.keys, environment.has_keys = tmp_path, has_keys
        with pytest.raises(EnvironmentUnavailable) as caught:
            environment.__enter__()
        return str(caught.value)

    return enter


def test_another_system_is_refused(of_linux):
    assert "freebsd-vm: the disk's system is Linux; expected FreeBSD" in of_linux()


def test_a_key_that_is_not_allowed_is_told_with_what_to_do(of_linux):
    words = of_linux(is_known=False)
    assert "the machine is up and refuses the login" in words
    assert "Permission denied" in words
    assert "--ssh-key" in words


def test_a_user_that_is_not_allowed_is_told(of_linux):
    assert "Permission denied" in of_linux(ssh_user="daemon")


def test_a_system_that_ends_is_not_waited_for(of_linux):
    words = of_linux(has_keys=False)  # without which its ssh server does not start, and then it ends
    assert "QEMU ended with status 0" in words
    assert "the ssh server has ended" in words


# -- a FreeBSD ------------------------------------------------------------------------------------------------


def output(vm, *command):
    """Return what a program in the machine writes to standard output."""
    channel = vm.start(command)
    said = b"".join(data for stream, data in channel.receive() if stream == STDOUT)
    channel.close()
    return said.decode()


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The disk as somebody may have it: read-only, with a name that QEMU could take for options."""
    disk = tmp_path_factory.mktemp("disk") / "a,format=raw disk"
    disk.write_bytes(DISK.read_bytes())
    disk.chmod(0o444)
    return disk


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """The key as somebody may have it: where everybody may read it, and nobody change that."""
    copied = Path(shutil.copy(KEY, tmp_path_factory.mktemp("key") / "a key"))
    copied.chmod(0o444)
    return copied


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("evidence") / "console.log"


@pytest.fixture(scope="module")
def vm(given, key, log):
    """One machine for the tests that do it no harm, from a relative path."""
    before = os.getcwd()
    os.chdir(given.parent)
    try:
        made = FreebsdVm(Options(disk=Path(given.name), ssh_key=key, say=say))
        made.log_to = log
        with made:
            yield made
    finally:
        os.chdir(before)


@needs_a_disk
def test_it_is_freebsd_and_lets_root_in(vm):
    assert output(vm, "sh", "-c", "uname -s; id -u").split() == ["FreeBSD", "0"]
    details = vm.details()
    assert details["accelerator"].partition(" ")[0] in ("tcg", "kvm")
    assert "a,format=raw disk" in details["disk"]
    assert details["memory"] == "1024 MiB"


@needs_a_disk
def test_a_program_has_its_three_streams_and_ends_with_its_input(vm):
    channel = vm.start(["sh", "-c", 'echo "$1"; echo words >&2; cat; echo end', "sh", "a  'quoted' $word !"])
    heard = {STDOUT: b"", STDERR: b""}

    def listen():
        for stream, data in channel.receive():
            heard[stream] += data

    listener = threading.Thread(target=listen)
    listener.start()
    channel.send(b"in\n" + bytes(100_000))
    channel.close()
    listener.join(LIMIT)
    assert heard[STDOUT] == b"a  'quoted' $word !\nin\n" + bytes(100_000) + b"end\n"
    assert heard[STDERR] == b"words\n"


@needs_a_disk
def test_python_is_found_also_where_a_login_has_no_path_to_it(vm):
    find = [
        *shlex.split("env PATH=/usr/bin:/bin sh -c"),
        launcher._FIND_PYTHON,
        "import sys; print(sys.version_info[:2])",
    ]
    assert output(vm, *find).startswith("(3, ")


@needs_a_disk
def test_the_console_is_kept_where_it_was_asked_for(vm, log):
    assert vm.log == log
    assert "FreeBSD" in log.read_text(errors="replace")
    assert "QEMU still runs" in vm.last_words()


@needs_a_disk
def test_the_users_own_known_hosts_are_left_alone(vm):
    words = shlex.split(vm.shell())
    assert "-F" in words
    assert (vm.machine.folder / "known_hosts").read_text().startswith("refnet-vm ")
    assert f'UserKnownHostsFile="{vm.machine.folder / "known_hosts"}"' in words


@needs_a_disk
def test_the_guest_reaches_nothing(vm):
    script = "route -n get default >/dev/null 2>&1 || echo no route; nc -z -w 5 10.0.2.2 22 2>&1 || echo no way out"
    assert output(vm, "sh", "-c", script).splitlines()[-1] == "no way out"


@needs_a_disk
def test_the_disk_is_not_written_to(vm, given):
    def state():
        return hashlib.sha256(given.read_bytes()).hexdigest(), given.stat().st_mtime_ns, given.stat().st_mode

    before = state()
    assert before[0] == hashlib.sha256(DISK.read_bytes()).hexdigest()
    output(vm, "sh", "-c", "dd if=/dev/random of=/root/noise bs=1m count=20 2>/dev/null; sync; rm /root/noise; sync")
    assert state() == before
    assert [path.name for path in given.parent.iterdir()] == [given.name]


class Run:
    """The agent at work there, with a command that does not end by itself."""

    def __init__(self, vm, command="sleep 1000"):
        self.vm = vm
        self.channel = vm.start(["sh", "-c", launcher._FIND_PYTHON, launcher.BOOTSTRAP])
        program = Path(agent.__file__).read_bytes()
        header = json.dumps({"command": ["sh", "-c", command], "environment": {}, "bundle": 0}).encode()
        self.channel.send(b"%d\n%s%s\n" % (len(program), program, header))
        wait_until(lambda: self.those("sleep 1000"), "the command runs", LIMIT)

    def those(self, mark):
        said = output(self.vm, "sh", "-c", f"ps -axo pid,stat,command | grep -F '{mark}' | grep -v grep")
        return [int(line.split()[0]) for line in said.splitlines() if line.split()[1][0] != "Z"]

    def folders(self):
        return output(self.vm, "sh", "-c", f"ls -d /tmp/{agent.PREFIX}* 2>/dev/null")

    def nothing_is_left(self):
        wait_until(
            lambda: not self.those("sleep 1000") and not self.those("sys.stdin.buffer.readline") and not self.folders(),
            "nothing is left there",
            LIMIT,
        )


@needs_a_disk
def test_a_launcher_that_is_gone_leaves_nothing_there(vm):
    run = Run(vm)
    assert run.folders()
    run.channel.close()
    run.nothing_is_left()


@needs_a_disk
def test_a_connection_that_is_cut_leaves_nothing_there(vm):
    run = Run(vm)
    run.channel._process.kill()
    run.nothing_is_left()


@needs_a_disk
def test_an_agent_that_is_killed_leaves_nothing_there(vm):
    run = Run(vm, "sleep 1000 & exec sleep 1000")
    agents = run.those("sys.stdin.buffer.readline")
    the_agent = min(pid for pid in agents if run.those("sleep 1000") and is_parent(run, pid))
    output(vm, "kill", "-9", str(the_agent))
    assert b"".join(data for _, data in run.channel.receive()) is not None, "the channel ends"
    run.nothing_is_left()
    run.channel.close()


def is_parent(run, pid):
    said = output(run.vm, "sh", "-c", "ps -axo ppid,command | grep -F 'sleep 1000' | grep -v grep")
    return str(pid) in said.split()


@needs_a_disk
def test_too_little_room_there_is_told(vm):
    script = (
        'mkdir -p /tmp/small && mount -t tmpfs -o size=2m tmpfs /tmp/small && TMPDIR=/tmp/small exec sh -c "$0" "$1"'
    )
    channel = vm.start(["sh", "-c", script, launcher._FIND_PYTHON, launcher.BOOTSTRAP])
    program = Path(agent.__file__).read_bytes()
    archive = bundle.collect("refnet.netdev.linux", []).archive()
    header = json.dumps({"command": [None], "environment": {}, "bundle": len(archive)}).encode()
    threading.Thread(target=_send, args=(channel, b"%d\n%s%s\n%s" % (len(program), program, header, archive))).start()
    heard = b"".join(data for stream, data in channel.receive() if stream == STDOUT)
    channel.close()
    refusal = json.loads(heard.splitlines()[-1])
    assert refusal["event"] == "refused"
    assert "there is too little room in /tmp/small" in refusal["words"]
    assert output(vm, "sh", "-c", "ls -A /tmp/small; umount /tmp/small && rmdir /tmp/small") == ""


def _send(channel, data):
    with contextlib.suppress(OSError, ValueError):
        channel.send(data)


@needs_a_disk
def test_two_machines_boot_one_disk_at_once(vm, given):
    with FreebsdVm(Options(disk=given, ssh_key=KEY)) as other:
        output(other, "touch", "/root/mine")
        assert output(vm, "sh", "-c", "ls /root/mine 2>/dev/null") == ""


@needs_a_disk
def test_a_machine_that_is_killed_is_told_of_and_its_launcher_takes_it_along(temporary, given):
    program = "import sys, time; from pathlib import Path\n"
    program += "from conformance.environments.freebsd_vm import FreebsdVm, Options\n"
    program += f"with FreebsdVm(Options(disk=Path({str(given)!r}), ssh_key=Path({str(KEY)!r}))) as vm:\n"
    program += "    print(vm.machine.pid, flush=True)\n    time.sleep(1000)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as launching:
        machine = int(launching.stdout.readline())
        launching.kill()
    wait_until(lambda: machine not in processes("qemu-system"), "QEMU has ended", LIMIT)
    vm = FreebsdVm(Options(disk=given, ssh_key=KEY))
    with vm:
        assert len(list(temporary.iterdir())) == 1, "what the other one has left was removed"
        os.kill(vm.machine.pid, signal.SIGKILL)
        wait_until(lambda: not vm.machine.is_alive(), "QEMU has ended", LIMIT)
        with pytest.raises(EnvironmentUnavailable, match=r"has ended.*SIGKILL"):
            vm.start(["true"])
    assert "QEMU was ended by SIGKILL; the console's end:" in vm.last_words()
    assert list(temporary.iterdir()) == []
