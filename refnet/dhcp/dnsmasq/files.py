"""Files that are whole or not there: replaced by rename, with modes that do not depend on the caller's umask."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from refnet.errors import KernelRefused, PermissionDenied, RefnetError

#: Everybody may read: the server is another user once it has its sockets. There is no secret in them.
MODE, DIRECTORY_MODE, PROGRAM_MODE = 0o644, 0o755, 0o755

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def refusals(path: Path, what: str) -> Iterator[None]:
    """Turn the system's refusal to do something with a file into an error of refnet's.

    Raises:
        PermissionDenied: this user may not.
        KernelRefused: the system cannot, for any other reason (no space is one).
    """
    try:
        yield
    except OSError as error:
        kind = PermissionDenied if error.errno in _REFUSALS else KernelRefused
        raise kind(f"{path} cannot be {what}: {error.strerror}", errno=error.errno, detail=error.strerror) from None


def temporary(path: Path) -> Path:
    """Return where a file is made before it gets its name; dnsmasq reads no file whose name begins with a dot."""
    return path.with_name(f".{path.name}.tmp")


class Batch:
    """New files that are made already and wait for being put in place: what fails for want of room has failed then."""

    def __init__(self, files: Mapping[Path, str], mode: int = MODE) -> None:
        """Make them, all or none.

        Raises:
            PermissionDenied, KernelRefused: as :func:`refusals`.
        """
        self._paths: list[Path] = []
        try:
            for path, text in files.items():
                self._paths.append(path)
                with refusals(path, "written"):
                    _write(temporary(path), text, mode)
        except BaseException:
            self.discard()
            raise

    def put(self) -> None:
        """Put them in the places of the old ones.

        Raises:
            PermissionDenied, KernelRefused: as :func:`refusals`; those behind have then not been replaced.
        """
        try:
            while self._paths:
                with refusals(self._paths[0], "replaced"):
                    temporary(self._paths[0]).replace(self._paths[0])
                del self._paths[0]
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove those that have not been put in place."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                temporary(path).unlink()
        self._paths = []


def replace(files: Mapping[Path, str], mode: int = MODE) -> None:
    """Replace files, all of them or none, unless the system fails in the very last step.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`.
    """
    Batch(files, mode).put()


def append(path: Path, text: str) -> None:
    """Add to the end of a file, all of the text or nothing.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`.
    """
    with refusals(path, "written"):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, text)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def directory(path: Path) -> None:
    """Make a directory, and what it is in, where it is missing.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`; a symbolic link is not followed.
    """
    with refusals(path, "made"):
        if path.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "there is a symbolic link in its place")
        if path.is_dir():
            return
        if not path.parent.is_dir():
            directory(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            path.chmod(DIRECTORY_MODE)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "there is a file by that name")


def no_link(path: Path) -> None:
    """Remove a symbolic link from where somebody else is to write a file.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`.
    """
    if path.is_symlink():
        for error in remove([path]):
            raise error


def remove(paths: Iterable[Path]) -> list[RefnetError]:
    """Remove files; those that are not there are no error. Return why some could not be removed."""
    failures: list[RefnetError] = []
    for path in paths:
        try:
            with refusals(path, "removed"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
        except RefnetError as error:
            failures.append(error)
    return failures


def remove_directory(path: Path) -> list[RefnetError]:
    """Remove a directory if it is empty; one that is not, or is not there, is no error."""
    try:
        with refusals(path, "removed"):
            try:
                path.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
    except RefnetError as error:
        return [error]
    return []


def listed(path: Path) -> list[str]:
    """Return the names in a directory, in order; none if there is none.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`.
    """
    with refusals(path, "read"):
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []


def read(path: Path) -> str | None:
    """Return what is in a file, or None if there is none. What is no text has marks in it that no text has.

    Raises:
        PermissionDenied, KernelRefused: as :func:`refusals`.
    """
    with refusals(path, "read"):
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return None


def _write(path: Path, text: str, mode: int) -> None:
    # What a killed process left by that name may be half written, or no file of its own.
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, text)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, text: str) -> None:
    data = memoryview(text.encode())
    while data:
        data = data[os.write(descriptor, data) :]
