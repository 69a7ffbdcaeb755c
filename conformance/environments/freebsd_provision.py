"""From FreeBSD's own disk to the one that the suite boots: its first boot, with a seed for its cloud-init, and by ssh.

The machine reaches the network meanwhile, for packages; no machine that runs specs does.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conformance.environments import qemu, vm
from conformance.environments.freebsd_guest import guest
from conformance.environments.login import Login
from conformance.errors import EnvironmentUnavailable

#: What is added to the disk for packages, in GiB; FreeBSD's growfs takes it in at the first boot.
_MORE = 4
_MEMORY = 1024
#: A first boot makes keys and grows the file system: it may take so many times longer than another.
_PATIENCE = 3.0
#: Logins: FreeBSD's ssh server is up before its cloud-init has let anybody in.
_REFUSALS = 60
#: Seconds for packages to come from the network and to be unpacked, which emulation makes slow; and for the end.
_WORK_LIMIT = 3600.0
_END_LIMIT = 300.0
_WORDS = 20
#: The script is a file there: what it starts shall not read on in it as in its input.
_WORK = 'cat >/root/provision && sh /root/provision "$@" </dev/null && rm /root/provision'


def prepare(recipe: Path, disk: Path, key: Path) -> bytes:
    """Make a key pair, and room on the disk, and return the seed: a disk for FreeBSD's cloud-init, nuageinit(7).

    It is ISO 9660 with the label ``cidata``.

    Raises:
        EnvironmentUnavailable: a program failed.
        OSError: a file cannot be written.
    """
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "refnet", "-f", str(key))
    _run("qemu-img", "resize", "-q", "-f", "qcow2", str(disk), f"+{_MORE}G")
    files = disk.parent / "seed"
    files.mkdir()
    public = key.with_suffix(".pub").read_text().strip()
    (files / "user-data").write_text((recipe / "user-data").read_text().replace("@KEY@", public))
    shutil.copy(recipe / "meta-data", files)
    image = disk.parent / "seed.iso"
    words = ["-as", "mkisofs", "-quiet", "-volid", "cidata", "-joliet", "-rational-rock", "-output", str(image)]
    _run("xorriso", *words, str(files))
    seed = image.read_bytes()
    image.unlink()
    shutil.rmtree(files)
    return seed


def provision(recipe: Path, disk: Path, key: Path, seed: bytes, say: Callable[[str], None]) -> None:
    """Boot a disk, which is written to, do there what the recipe says, and shut it down.

    What has been installed is in ``packages.txt`` beside the disk then.

    Raises:
        EnvironmentUnavailable: it did not get ready, or something failed there; the message has the last words.
        OSError: a file cannot be written.
    """
    login = Login(lambda machine: _ssh(machine, key), "true", _REFUSALS)
    with qemu.folder() as scratch:
        say("booting it for the first time")
        booted = guest(
            disk, "qcow2", login, disk.parent.name, memory=_MEMORY, seed=seed, is_making=True, patience=_PATIENCE
        )
        with qemu.Machine(booted, scratch, say) as machine:
            _work(machine, key, recipe, say)
            (disk.parent / "packages.txt").write_bytes(_ask(machine, key, "cat /root/packages.txt"))
            say("shutting it down")
            _ask(machine, key, "shutdown -p now")
            _wait_for_the_end(machine)


def packages(recipe: Path) -> list[str]:
    """Return the names of the packages that a recipe installs."""
    lines = (recipe / "packages").read_text().splitlines()
    return [name for line in lines for name in line.partition("#")[0].split()]


def _ssh(machine: qemu.Machine, key: Path) -> list[str]:
    return vm.way_in(machine, "root", key, {"StrictHostKeyChecking": "accept-new", "IdentityAgent": "none"})


def _work(machine: qemu.Machine, key: Path, recipe: Path, say: Callable[[str], None]) -> None:
    """Run the recipe's script there, and pass on what it says."""
    command = [*_ssh(machine, key), shlex.join(["sh", "-c", _WORK, "sh", *packages(recipe)])]
    said = []
    with (recipe / "provision").open("rb") as script:
        process = subprocess.Popen(
            command, stdin=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    stopping = threading.Timer(_WORK_LIMIT, process.kill)
    stopping.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                said.append(line.rstrip())
                say(f"  {line.rstrip()}")
        status = process.wait()
    finally:
        stopping.cancel()
        process.kill()
        process.wait()
    if status != 0:
        words = "\n".join(f"  {line}" for line in said[-_WORDS:])
        raise EnvironmentUnavailable(
            f"what {recipe / 'provision'} does in the machine has failed (status {status}); its last words:\n{words}"
        )


def _ask(machine: qemu.Machine, key: Path, command: str) -> bytes:
    words = [*_ssh(machine, key), command]
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_END_LIMIT, check=False
        ).stdout
    except subprocess.TimeoutExpired:
        raise EnvironmentUnavailable(f"the machine does not answer any more: {machine.last_words()}") from None


def _wait_for_the_end(machine: qemu.Machine) -> None:
    deadline = time.monotonic() + _END_LIMIT
    while machine.is_alive():
        if time.monotonic() > deadline:
            raise EnvironmentUnavailable(f"it has not shut down within {_END_LIMIT:.0f} s: {machine.last_words()}")
        time.sleep(0.2)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentUnavailable(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}")
