"""Throw-away namespaces of this host's Linux, for root and for ordinary users.

A command runs in network, mount, process, UTS and IPC namespaces of its own, and for ordinary users in a user
namespace besides. Its process 1 reaps, and dies with the launcher: then the kernel kills everything in there, and with
the last process all devices, mounts and locks are gone. Nothing is left on the host after Ctrl-C or ``kill -9``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from conformance.environments.inside import INSIDE
from conformance.errors import EnvironmentUnavailable
from conformance.topology.linux import namespaces
from conformance.topology.linux.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)

#: What the suite's own eyes need, with the Debian package that has it.
_PROGRAMS = {"ip": "iproute2", "bridge": "iproute2"}
#: Debian gives ordinary users a PATH without these.
_SYSTEM_PATH = ("/usr/sbin", "/sbin")
#: Seconds that a command gets after Ctrl-C to write its report.
_GRACE = 15.0


def missing() -> list[str]:
    """Return what this host lacks, each with the way to get it; empty: nothing is known to be lacking."""
    path = _path()
    lacking = sorted({package for name, package in _PROGRAMS.items() if shutil.which(name, path=path) is None})
    return [f"programs are missing: 'apt-get install {package}' brings them" for package in lacking]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command in namespaces of its own and return its exit status (128 + N if signal N ended it).

    Raises:
        EnvironmentUnavailable: the kernel or the host's configuration does not allow it; the message says what
            would.
    """
    wanted = {**os.environ, **(environment or {}), "PATH": _path()}
    failure_read, failure_write = os.pipe()
    map_read, map_write = os.pipe()
    ready_read, ready_write = os.pipe()
    needs_user = not _may_make_namespaces()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        for descriptor in (failure_read, map_write, ready_read):
            os.close(descriptor)
        _child(command, wanted, needs_user, failure_write, ready_write, map_read)
    for descriptor in (failure_write, map_read, ready_write):
        os.close(descriptor)
    try:
        if needs_user and os.read(ready_read, 1):
            _map_users(child)
        os.close(map_write)
        status = _wait(child)
        with os.fdopen(failure_read, "rb") as failure:
            words = failure.read()
        if words:
            raise EnvironmentUnavailable(_explain(**json.loads(words)))
        return status
    finally:
        os.close(ready_read)
        with contextlib.suppress(OSError):
            os.close(failure_read)


def _child(
    command: Sequence[str],
    environment: dict[str, str],
    needs_user: bool,
    failure: int,
    ready: int,
    mapped: int,
) -> None:
    """Set the namespaces up and become, in the new process namespace, the parent of process 1. Never returns."""
    step = "start"
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if needs_user:
            step = "user namespace"
            namespaces.unshare(CLONE_NEWUSER)
        namespaces.die_with_parent()
        os.write(ready, b"x")
        os.close(ready)
        os.read(mapped, 1)  # until the launcher has mapped the ids
        step = "namespaces"
        namespaces.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
        step = "fork"
        first = os.fork()
        if first == 0:
            _process_one(command, environment, failure)
        os.close(failure)
        _, status = os.waitpid(first, 0)
        os._exit(_exit_status(status))
    except BaseException as error:
        _fail(failure, step, error)


def _process_one(command: Sequence[str], environment: dict[str, str], failure: int) -> None:
    """Be process 1: mount, start the command, reap until it ends. Never returns."""
    step = "mounts"
    try:
        namespaces.die_with_parent()
        host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        namespaces.mount("none", "/", None, MS_REC | MS_PRIVATE)
        step = "mount /proc"
        namespaces.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        step = "mount /sys"
        namespaces.mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        step = "mount /run"
        namespaces.mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV)
        socket.sethostname("conformance")
        step = "start"
        os.set_inheritable(host_proc, True)
        environment[INSIDE] = str(host_proc)
        main = os.fork()
        if main == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _execute(command, environment, failure)
        os.close(failure)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(main, signal.SIGTERM))
        while True:
            pid, status = os.wait()
            if pid == main:
                os._exit(_exit_status(status))
    except BaseException as error:
        _fail(failure, step, error)


def _execute(command: Sequence[str], environment: dict[str, str], failure: int) -> None:
    try:
        os.set_inheritable(failure, False)
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - no shell is what is wanted
    except BaseException as error:
        _fail(failure, f"start {command[0]}", error)


def _fail(failure: int, step: str, error: BaseException) -> None:
    number = error.errno if isinstance(error, OSError) else None
    os.write(failure, json.dumps({"step": step, "number": number, "words": str(error)}).encode())
    os._exit(1)


def _wait(child: int) -> int:
    """Wait for the child; on Ctrl-C give it time to finish, then let the kernel kill all of it."""
    deadline: float | None = None
    while True:
        try:
            if deadline is None:
                _, status = os.waitpid(child, 0)
                return _exit_status(status)
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return _exit_status(status)
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                deadline = None
            time.sleep(0.05)
        except KeyboardInterrupt:
            deadline = deadline or time.monotonic() + _GRACE


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _may_make_namespaces() -> bool:
    """Try, in a child, whether namespaces can be had without a user namespace: as root, mostly."""
    child = os.fork()
    if child == 0:
        try:
            namespaces.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _map_users(child: int) -> None:
    """Map root inside to this user, and where the host grants a range of ids (/etc/subuid), that range behind it."""
    uid, gid = os.geteuid(), os.getegid()
    user = _user_name(uid)
    ranges = (_granted("/etc/subuid", user, uid), _granted("/etc/subgid", user, uid))
    if all(ranges) and shutil.which("newuidmap") and shutil.which("newgidmap"):
        mapped = True
        for program, own, granted in zip(("newuidmap", "newgidmap"), (uid, gid), ranges, strict=True):
            assert granted is not None
            argv = [program, str(child), "0", str(own), "1", "1", *map(str, granted)]
            mapped = subprocess.run(argv, check=False, capture_output=True).returncode == 0 and mapped
        if mapped:
            return
    with contextlib.suppress(OSError):
        _write(f"/proc/{child}/setgroups", "deny")
        _write(f"/proc/{child}/uid_map", f"0 {uid} 1")
        _write(f"/proc/{child}/gid_map", f"0 {gid} 1")


def _granted(path: str, user: str, uid: int) -> tuple[int, int] | None:
    try:
        with open(path) as lines:
            for line in lines:
                name, first, count = line.strip().split(":")
                if name in (user, str(uid)):
                    return int(first), int(count)
    except (OSError, ValueError):
        pass
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _path() -> str:
    present = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*present, *(entry for entry in _SYSTEM_PATH if entry not in present)])


def _explain(step: str, number: int | None, words: str) -> str:
    """Say what the kernel refused, and what would make it possible."""
    refused = f"local: {step} was refused ({words})"
    if number in (errno.EPERM, errno.EACCES) and step in ("user namespace", "namespaces"):
        return (
            f"{refused}: this kernel does not let an ordinary user make namespaces. Run as root, or allow it with "
            "'sysctl kernel.unprivileged_userns_clone=1' (Debian), "
            "'sysctl kernel.apparmor_restrict_unprivileged_userns=0' (Ubuntu 23.10 and later)"
        )
    if number == errno.ENOSPC:
        return (
            f"{refused}: the limit on namespaces is reached: raise 'sysctl user.max_user_namespaces' and its siblings"
        )
    if step.startswith("mount") and number == errno.EPERM:
        return (
            f"{refused}: inside a container whose /proc or /sys is masked this needs 'docker run "
            "--security-opt systempaths=unconfined' and '--cap-add SYS_ADMIN', or another environment"
        )
    return refused
