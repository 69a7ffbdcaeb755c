"""The virtual machine: its command line, what is in it, and what is left when something is killed or missing."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.environments import images, kvm, qemu
from conformance.environments.base import STDERR, STDOUT, Options
from conformance.environments.linux_vm import LinuxVm
from conformance.errors import EnvironmentUnavailable

LIMIT = 120
GUEST = qemu.Guest(Path("/images/disk,1.img"), "ready", "key", kernel=Path("/images/vmlinuz"), arguments="quiet")
HOST = qemu.Host("qemu-system-x86_64", "pc", "tcg", 2, 4022, Path("/tmp/a,b/console.log"))


def after(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


def output(vm, *command, limit=LIMIT):
    """Return what a program in the machine writes to standard output."""
    done = subprocess.run(
        [*shlex.split(vm.shell()), shlex.join(command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def machines():
    """Return the processes of QEMU whose files are in this test's temporary folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system" in line[0] and tempfile.gettempdir().encode() in b" ".join(line):
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own, also for the processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


# -- the command line -------------------------------------------------------------------------------------------------


def test_the_disk_is_not_written_to_and_the_guest_reaches_nothing():
    words = qemu.command(GUEST, HOST)
    (disk,) = after(words, "-drive")
    assert disk == "file=/images/disk,,1.img,format=raw,if=virtio,snapshot=on"
    (network,) = after(words, "-netdev")
    assert "restrict=on" in network.split(",")
    assert "hostfwd=tcp:127.0.0.1:4022-:22" in network.split(",")


def test_the_console_goes_to_a_file_whose_name_may_have_commas():
    assert after(qemu.command(GUEST, HOST), "-chardev") == ["file,id=console,path=/tmp/a,,b/console.log"]


def test_the_second_disk_is_read_only():
    words = qemu.command(GUEST, replace(HOST, seed=Path("/tmp/seed")))
    assert after(words, "-drive")[1] == "file=/tmp/seed,format=raw,if=virtio,readonly=on"


@pytest.mark.parametrize(("accelerator", "accel", "cpu"), [("tcg", "tcg,thread=multi", []), ("kvm", "kvm", ["host"])])
def test_accelerators(accelerator, accel, cpu):
    words = qemu.command(GUEST, replace(HOST, accelerator=accelerator))
    assert after(words, "-accel") == [accel]
    assert after(words, "-cpu") == cpu


def test_a_disk_that_boots_by_itself_needs_no_kernel():
    words = qemu.command(qemu.Guest(Path("/images/freebsd.qcow2"), "login:", "key", "qcow2"), HOST)
    assert not {"-kernel", "-append", "-initrd"} & set(words)
    assert "format=qcow2" in after(words, "-drive")[0]
    assert after(words, "-machine") == ["pc,graphics=off"], "the firmware speaks to the console that is kept"


def test_only_a_guest_whose_disk_is_made_writes_to_it_and_reaches_the_network():
    words = qemu.command(replace(GUEST, keeps=True, reaches_out=True), HOST)
    assert "snapshot=off" in after(words, "-drive")[0]
    assert "restrict=off" in after(words, "-netdev")[0]


def test_another_processor_than_the_hosts_is_emulated():
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[os.uname().machine]
    machine = qemu.Machine(replace(GUEST, architecture=other), Path("/nonexistent"))
    assert f"the guest's {other}" in machine._why_not_kvm("")


def test_a_console_that_falls_silent_while_kvm_is_tried_is_not_waited_for_to_the_end(temporary, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary))
    (temporary / "disk").write_bytes(bytes(1 << 20))
    guest = qemu.Guest(temporary / "disk", "ready", "none", boot_limit=LIMIT)
    with qemu.folder() as folder:
        machine = qemu.Machine(guest, folder)
        words = machine._try("tcg", LIMIT, silence=2)  # which says the same, and can be had everywhere
        assert words.startswith("the console was silent for 2 s;")
        assert "No bootable device" in words
        wait_until(lambda: not machines(), "QEMU has ended")


# -- what is known about KVM ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm for this user")
def test_what_a_boot_has_shown_about_kvm_holds_for_that_guest_and_qemu(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kvm.why_not("guest", "7.2") is None
    for words in ("", "no guest was up within 20 s"):
        kvm.remember("guest", "7.2", words)
        assert kvm.why_not("guest", "7.2") == words
    assert kvm.why_not("guest", "9.0") is None
    assert kvm.why_not("other", "7.2") is None
    kvm.forget("guest")
    assert kvm.why_not("guest", "7.2") is None


def test_a_broken_note_about_kvm_counts_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kvm.remember("guest", "7.2", "no")
    (note,) = images.cache_directory().iterdir()
    before = kvm.why_not("guest", "other")
    note.write_text("{")
    assert kvm.why_not("guest", "7.2") == before


# -- machines that do not come up -------------------------------------------------------------------------------------


def test_a_guest_that_qemu_cannot_start_is_told_in_its_words(temporary, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary))
    kvm.remember("none", qemu.version(), "not for this test")
    (temporary / "disk").write_bytes(bytes(1 << 20))
    guest = qemu.Guest(temporary / "disk", "ready", "none", kernel=temporary / "no-such-kernel")
    with (
        qemu.folder() as folder,
        pytest.raises(EnvironmentUnavailable, match=r"status 1 and said.*no-such-kernel"),
        qemu.Machine(guest, folder),
    ):
        pass
    assert not list(temporary.glob("refnet-vm-*"))


def test_a_guest_that_never_gets_ready_is_given_up_and_a_port_that_is_taken_is_not_insisted_on(temporary, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary))
    monkeypatch.setattr(qemu, "BOOT_LIMIT", 3)
    kvm.remember("none", qemu.version(), "not for this test")
    (temporary / "disk").write_bytes(bytes(1 << 20))
    with qemu.socket.create_server(("127.0.0.1", 0)) as taken, qemu.folder() as folder:
        ports = [taken.getsockname()[1], qemu._free_port()]
        monkeypatch.setattr(qemu, "_free_port", lambda: ports.pop(0))
        machine = qemu.Machine(qemu.Guest(temporary / "disk", "ready", "none"), folder)
        with pytest.raises(EnvironmentUnavailable, match=r"no guest was up within 3 s; (.*\n)*.*No bootable device"):
            machine.__enter__()
        assert ports == []
        wait_until(lambda: not machines(), "QEMU has ended")


@pytest.mark.parametrize(
    ("options", "words"),
    [(Options(kernel="rt"), "expected cloud or generic"), (Options(memory=16), "256 MiB at least")],
)
def test_options_that_make_no_machine_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        LinuxVm(options)


def test_programs_that_are_missing_are_named_with_their_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = "; ".join(LinuxVm.availability(Options()).missing)
    assert "apt-get install --no-install-recommends qemu-system-" in missing
    assert "apt-get install openssh-client" in missing
    with pytest.raises(EnvironmentUnavailable, match="openssh-client"):
        LinuxVm(Options()).__enter__()


def test_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(temporary):
    (temporary / "refnet-vm-dead").mkdir()
    (temporary / "refnet-vm-dead" / "client").touch()
    with qemu.folder() as first:
        assert not (temporary / "refnet-vm-dead").exists()
        with qemu.folder() as second:
            assert first.is_dir()
            assert second.is_dir()
    assert list(temporary.iterdir()) == []


# -- a machine that runs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("vm") / "evidence" / "console.log"


@pytest.fixture(scope="module")
def vm(log):
    """One machine for the tests that do it no harm."""
    made = LinuxVm(Options(say=lambda words: print(words, file=sys.stderr)))
    made.log_to = log
    with made:
        yield made


def test_a_program_has_its_three_streams_and_ends_with_its_input(vm):
    channel = vm.start(["sh", "-c", 'echo "$1"; echo words >&2; cat; echo end', "sh", "a  'quoted' $word"])
    heard = {STDOUT: b"", STDERR: b""}

    def listen():
        for stream, data in channel.receive():
            heard[stream] += data

    listener = threading.Thread(target=listen)
    listener.start()
    channel.send(b"in\n" + bytes(100_000))
    channel.close()
    listener.join(LIMIT)
    assert heard[STDOUT] == b"a  'quoted' $word\nin\n" + bytes(100_000) + b"end\n"
    assert heard[STDERR] == b"words\n"


def test_it_has_what_specs_need(vm):
    script = """
        set -e
        ip link add d0 type dummy; ip link add link d0 name d0.5 type vlan id 5; ip link del d0
        ip tuntap add t0 mode tap; ip link del t0
        [ "$(stat -c %a /dev/net/tun)" = 666 ]
        for module in 8021q openvswitch bridge br_netfilter veth nf_tables; do test -d /sys/module/$module; done
        for program in iptables-legacy iptables-nft ip6tables-legacy ip6tables-nft; do $program -L -n >/dev/null; done
        nft list ruleset; ebtables-legacy -L >/dev/null; ebtables-nft -L >/dev/null 2>&1; conntrack -L >/dev/null 2>&1
        for program in dhclient udhcpc dhcpcd tcpdump ping ethtool ovs-vswitchd ovsdb-server; do
            command -v $program >/dev/null
        done
        dnsmasq --version | grep -q version
        python3 -c 'import sys, ssl, ctypes, sqlite3; assert sys.version_info >= (3, 10)'
        test -e /dev/stdin -a -e /dev/shm -a -e /dev/pts/ptmx; grep -q cgroup2 /proc/mounts
        ! ip route | grep -q default
        echo all of it
    """
    assert output(vm, "sh", "-c", script) == "all of it\n"


def test_the_console_is_kept_where_it_was_asked_for(vm, log):
    assert vm.log == log
    assert "refnet-vm: ready" in log.read_text()
    assert "QEMU still runs" in vm.last_words()
    assert "refnet-vm: ready" in vm.last_words()
    assert "cannot be loaded" not in log.read_text()


def test_details_say_what_it_is_made_of(vm):
    details = vm.details()
    assert details["accelerator"].partition(" ")[0] in ("tcg", "kvm")
    assert details["kernel"] == "cloud"
    assert details["image"] == images.recipe_hash()
    assert details["memory"] == "1024 MiB"
    assert "image built" in LinuxVm.availability(Options()).found


def test_what_is_written_in_it_stays_out_of_the_image(vm):
    disk = images.linux_image().disk
    before = (disk.stat().st_mtime_ns, disk.stat().st_blocks)
    output(vm, "sh", "-c", "head -c 5000000 /dev/urandom >/var/tmp/noise; sync; echo 3 >/proc/sys/vm/drop_caches")
    assert (disk.stat().st_mtime_ns, disk.stat().st_blocks) == before


def test_a_wrong_key_does_not_get_in(vm, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    words = shlex.split(vm.shell())
    words[words.index("-i") + 1] = str(tmp_path / "key")
    done = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, "Permission denied" in done.stderr) == (255, True)


def test_closing_a_channel_is_bounded_when_the_machine_stands_still(vm):
    channel = vm.start(["sh", "-c", "echo up; cat"])
    assert next(iter(channel.receive())) == (STDOUT, b"up\n")
    os.kill(vm.machine.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        channel.close()
        assert time.monotonic() - began < 60
        assert b"".join(data for stream, data in channel.receive() if stream == STDOUT) == b""
    finally:
        os.kill(vm.machine.pid, signal.SIGCONT)
    assert output(vm, "echo", "here again") == "here again\n"


# -- machines that are killed -----------------------------------------------------------------------------------------


def test_a_machine_that_is_killed_ends_its_channels_and_is_told_of(temporary):
    vm = LinuxVm(Options())
    with vm:
        channel = vm.start(["sh", "-c", "echo up; echo from inside >/dev/console; cat"])
        streams = channel.receive()
        assert next(streams) == (STDOUT, b"up\n")
        wait_until(lambda: "from inside" in vm.log.read_text(), "the console has it")
        os.kill(vm.machine.pid, signal.SIGKILL)
        assert not [data for stream, data in streams if stream == STDOUT]
        wait_until(lambda: not vm.machine.is_alive(), "QEMU has ended")
        assert "QEMU was ended by SIGKILL" in vm.last_words()
        assert "from inside" in vm.last_words()
        channel.close()
        with pytest.raises(EnvironmentUnavailable, match=r"has ended.*SIGKILL"):
            vm.start(["true"])
    assert "from inside" in vm.last_words(), "also after it was left"
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_of_a_machine_whose_launcher_was_killed(temporary):
    program = "from conformance.environments.linux_vm import LinuxVm, Options\nimport time\n"
    program += "with LinuxVm(Options()):\n    print('up', flush=True)\n    time.sleep(1000)\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout.readline() == "up\n"
        assert len(machines()) == 1
        launcher.kill()
    wait_until(lambda: not machines(), "QEMU has ended")
    assert len(list(temporary.glob("refnet-vm-*"))) == 1
    with qemu.folder():
        pass
    assert list(temporary.iterdir()) == []


def test_ctrl_c_while_it_boots_leaves_nothing(temporary):
    program = "from conformance.environments.linux_vm import LinuxVm, Options\n"
    program += "LinuxVm(Options()).__enter__()\n"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as launcher:
        wait_until(machines, "it boots")
        launcher.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in launcher.communicate(timeout=LIMIT)[1]
    assert machines() == []
    assert list(temporary.iterdir()) == []
