"""A lock between processes, for the few changes that take more than one request to the kernel."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from refnet.errors import LockTimeout, PermissionDenied

#: Seconds that :func:`held` waits for another process before it gives up.
DEFAULT_TIME_LIMIT = 30.0
_POLL = 0.01

#: The descriptors that locks are held by, or waited for with, each with its thread.
_threads: dict[int, int] = {}
#: Held by whoever opens or closes one, and for the length of a fork.
_registering = threading.Lock()


@contextlib.contextmanager
def held(name: str, *, time_limit: float = DEFAULT_TIME_LIMIT) -> Iterator[int]:
    """Hold the lock ``name`` of this host, waiting at most ``time_limit`` seconds for it.

    The lock is advisory, belongs to the open file (so it also works between threads), and is given up by the
    kernel when its holder dies. Its file is removed by the last holder.

    Yields the descriptor that holds it: a program that is given it (``process.run(keep=…)``) goes on holding the lock
    if this process is killed.

    Raises:
        LockTimeout: somebody else held it all the time.
        PermissionDenied: the lock's directory cannot be written.
    """
    path = directory() / f"{name}.lock"
    descriptor = _acquire(path, time_limit)
    try:
        yield descriptor
    finally:
        # Removing while holding is safe: whoever opened the old file meanwhile sees that it is no longer the
        # one by that name, and starts again (_acquire).
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        _close(descriptor)


@contextlib.contextmanager
def reading(name: str, *, time_limit: float = DEFAULT_TIME_LIMIT) -> Iterator[None]:
    """Hold the lock ``name`` together with others that read, while nobody holds it by :func:`writing`.

    The file stays for the next one: whoever removed it here would part those who read from those who write.

    Raises:
        LockTimeout: somebody wrote all the time.
        PermissionDenied: the lock's directory cannot be written.
    """
    path = directory() / f"{name}.lock"
    with held(f"{name}-gate", time_limit=time_limit):
        descriptor = _acquire(path, time_limit, fcntl.LOCK_SH)
    try:
        yield
    finally:
        _close(descriptor)


@contextlib.contextmanager
def writing(name: str, *, time_limit: float = DEFAULT_TIME_LIMIT) -> Iterator[None]:
    """Hold the lock ``name`` while nobody else holds it by :func:`reading`; who comes meanwhile to read has to wait.

    Raises:
        LockTimeout: somebody else held it all the time.
        PermissionDenied: the lock's directory cannot be written.
    """
    # Who holds the gate lets nobody in: those who read go one by one, and are not followed by others for ever.
    with held(f"{name}-gate", time_limit=time_limit), held(name, time_limit=time_limit):
        yield


def _acquire(path: Path, time_limit: float, kind: int = fcntl.LOCK_EX) -> int:
    deadline = time.monotonic() + time_limit
    while True:
        try:
            with _registering:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                _threads[descriptor] = threading.get_ident()
        except OSError as error:
            raise PermissionDenied(
                f"the lock file {path} cannot be opened: {error.strerror}", errno=error.errno
            ) from None
        try:
            while not _try_lock(descriptor, kind):
                if time.monotonic() >= deadline:
                    raise LockTimeout(
                        f"another process has held {path} for {time_limit:g} s: find it with 'fuser -v {path}'"
                    )
                time.sleep(_POLL)
            if _is_file_at(descriptor, path):
                return descriptor
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)


def _close(descriptor: int) -> None:
    with _registering:
        _threads.pop(descriptor, None)
        os.close(descriptor)


def _forget_others() -> None:
    """Close, in a new process, the descriptors of threads that are not in it.

    Else it would hold their locks as long as it lives: an flock(2) is given up when nobody has the open file any more.
    """
    global _registering
    _registering = threading.Lock()
    for descriptor, thread in list(_threads.items()):
        if thread != threading.get_ident():
            _close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            return False
        raise
    return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        at_path = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (opened.st_dev, opened.st_ino) == (at_path.st_dev, at_path.st_ino)


def directory() -> Path:
    """Return a directory that only this user can write, made if missing."""
    run = Path("/run") if Path("/run").is_dir() else Path("/var/run")
    path = run / "refnet"
    if not os.access(run, os.W_OK) and not os.access(path, os.W_OK):
        path = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"refnet-{os.geteuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        owner = path.lstat().st_uid
    except OSError as error:
        raise PermissionDenied(
            f"the lock directory {path} cannot be made: {error.strerror}", errno=error.errno
        ) from None
    if owner != os.geteuid():
        raise PermissionDenied(f"the lock directory {path} belongs to uid {owner}, not to this process")
    return path


os.register_at_fork(
    before=lambda: _registering.acquire(),
    after_in_parent=lambda: _registering.release(),
    after_in_child=_forget_others,
)
