"""The root file system of the Linux environments: from the cache, or built into it from its recipe (images/linux).

``python -m conformance.environments.images`` says where it is, and builds it first if need be.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import EnvironmentUnavailable
from conformance.topology.linux import namespaces

#: Kernels that are there for a virtual machine.
FLAVOURS = ("cloud", "generic")
#: Of the recipe's files those that say what comes out.
_RECIPE = ("packages", "archives", "build", "finish", "netdevsim", "initramfs", "init")
#: Programs that building takes, and Debian's packages that bring them.
_PROGRAMS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "unshare": "util-linux", "dpkg-deb": "dpkg"}
#: What an ordinary user needs on top, to have files of several owners.
_PROGRAMS_OF_USERS = {"newuidmap": "uidmap", "newgidmap": "uidmap"}
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
#: Seconds: a build takes about one minute, from a slow mirror several; a stuck one is not waited for without end.
_BUILD_LIMIT = 1800.0
_GRACE = 15.0
#: Seconds after which an image of another recipe counts as forgotten.
_KEEP = 30 * 24 * 3600
_WORDS = 20


@dataclass(frozen=True, slots=True)
class LinuxImage:
    """A root file system, as a container's and as a virtual machine's."""

    directory: Path
    #: Of the recipe and the architecture.
    hash: str

    @property
    def rootfs(self) -> Path:
        """A tar archive for ``docker import``: no kernel."""
        return self.directory / "rootfs.tar"

    @property
    def disk(self) -> Path:
        """A raw disk with one ext4: the same tree, both kernels' modules, and an init. Never to be written to."""
        return self.directory / "disk.img"

    @property
    def packages(self) -> dict[str, str]:
        """The versions of Debian's packages in it, by name."""
        lines = (self.directory / "packages.txt").read_text().splitlines()
        return {name: version for name, version, _ in map(str.split, lines)}

    def kernel(self, flavour: str) -> tuple[Path, Path]:
        """Return a kernel and its initramfs.

        Raises:
            ValueError: there is no such flavour.
        """
        if flavour not in FLAVOURS:
            raise ValueError(f"{flavour!r} is no kernel of the Linux image: expected {' or '.join(FLAVOURS)}")
        return self.directory / f"vmlinuz-{flavour}", self.directory / f"initrd-{flavour}"


def recipe_directory() -> Path:
    """Return where the recipe is: beside the package in a checkout, in the package where it was installed.

    Raises:
        EnvironmentUnavailable: in neither.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package.parent / "images" / "linux", package / "_images" / "linux"):
        if (place / "build").is_file():
            return place
    raise EnvironmentUnavailable(
        f"the recipe of the Linux image is neither beside nor in {package}: install refnet again, or use a checkout"
    )


def recipe_hash(recipe: Path | None = None) -> str:
    """Return the hash that tells images apart: of the files that say what comes out, and of the architecture."""
    recipe = recipe or recipe_directory()
    digest = hashlib.sha256(platform.machine().encode())
    for name in _RECIPE:
        content = (recipe / name).read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def cache_directory() -> Path:
    """Return the folder of images, which need not be there."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The specification has relative paths ignored (XDG Base Directory Specification 0.8).
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "refnet"


def missing() -> list[str]:
    """Return what building an image lacks here, each with the way to get it; empty: nothing is known to be lacking."""
    if not sys.platform.startswith("linux"):
        return [f"the Linux image is built on Linux, and this is {sys.platform}"]
    programs = dict(_PROGRAMS)
    words = []
    if os.geteuid() != 0:
        programs |= _PROGRAMS_OF_USERS
        if not namespaces_of_users():
            words.append(
                "an ordinary user needs ids to give to files: have an administrator run "
                f"'usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {_user()}', or build as root once"
            )
    lacking = sorted({package for name, package in programs.items() if shutil.which(name, path=_PATH) is None})
    return [f"'apt-get install {package}' brings what is missing to build the image" for package in lacking] + words


def cached(recipe: Path | None = None) -> LinuxImage | None:
    """Return the image if it has been built."""
    value = recipe_hash(recipe)
    directory = cache_directory() / f"linux-{value}"
    return LinuxImage(directory, value) if directory.is_dir() else None


def linux_image(
    say: Callable[[str], None] = lambda _: None, recipe: Path | None = None, wait_limit: float = _BUILD_LIMIT
) -> LinuxImage:
    """Return the image, built first if it is not there; who comes while another process builds it waits for that.

    Raises:
        EnvironmentUnavailable: it cannot be built, or the other process takes longer than ``wait_limit`` seconds.
    """
    recipe = recipe or recipe_directory()
    image = cached(recipe)
    if image is None:
        try:
            cache_directory().mkdir(parents=True, exist_ok=True)
            with _only_builder(say, wait_limit) as lock:
                image = cached(recipe) or _build(recipe, say, lock)
        except OSError as error:
            raise EnvironmentUnavailable(
                f"the Linux image cannot be built in {cache_directory()}: {error}; XDG_CACHE_HOME names another place"
            ) from error
    with contextlib.suppress(OSError):
        os.utime(image.directory)
    return image


@contextlib.contextmanager
def _only_builder(say: Callable[[str], None], limit: float) -> Iterator[int]:
    """Hold the lock of the cache. The build inherits it: while any of it still runs, nobody else begins."""
    path = cache_directory() / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + limit
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            if not told:
                say("another process is building the Linux image: waiting for it")
                told = True
            if time.monotonic() > deadline:
                raise EnvironmentUnavailable(
                    f"another process has been building the Linux image for {limit:.0f} s: 'fuser -v {path}' finds it"
                )
            time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def _build(recipe: Path, say: Callable[[str], None], lock: int) -> LinuxImage:
    lacking = missing()
    if lacking:
        raise EnvironmentUnavailable(f"the Linux image is not built yet: {'; '.join(lacking)}")
    cache, value = cache_directory(), recipe_hash(recipe)
    # What a build that was killed has left, and what has long not been used.
    for path in cache.glob("building-*"):
        _remove(path)
    for path in (*cache.glob("linux-*"), *cache.glob("kvm-*")):
        if time.time() - path.stat().st_mtime > _KEEP:
            _remove(path)
    say("building the Linux image: once, one or two minutes where the mirror is quick")
    began = time.monotonic()
    temporary = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    try:
        status, words = _run(["sh", str(recipe / "build"), str(temporary)], lock)
        if status != 0:
            told = "\n".join(f"  {line}" for line in words.splitlines()[-_WORDS:])
            raise EnvironmentUnavailable(
                f"the Linux image cannot be built{_advice(words)}; mmdebstrap's words:\n{told}"
            )
        directory = cache / f"linux-{value}"
        temporary.chmod(0o755)
        temporary.rename(directory)
    finally:
        if temporary.exists():
            _remove(temporary)
    say(f"the Linux image is built: {directory}, in {time.monotonic() - began:.0f} s")
    return LinuxImage(directory, value)


def _run(command: list[str], lock: int) -> tuple[int, str]:
    """Run a build, which ends when this process does, and return its exit status and what it said."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"},
            pass_fds=(lock,),
            start_new_session=True,
            preexec_fn=namespaces.die_with_parent,
        )
        try:
            status = process.wait(_BUILD_LIMIT)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            _end(process)
        output.seek(0)
        words = output.read().decode(errors="replace")
    return status, words if status != -1 else f"{words}\nnot done within {_BUILD_LIMIT:.0f} s"


def _end(process: subprocess.Popen[bytes]) -> None:
    """See that nothing of a build runs any more; politely first: then it removes what it has made."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _remove(path: Path) -> None:
    """Remove a file or folder; what belongs to an ordinary user's granted ids can only be removed by their root."""
    if path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)
    if path.exists() and os.geteuid() != 0:
        inside = ["unshare", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--one-file-system", str(path)]
        subprocess.run(inside, check=False, capture_output=True)


def _advice(words: str) -> str:
    advice: Mapping[str, str] = {
        "No space left on device": "the disk is full: about 2 GB are needed; XDG_CACHE_HOME names another place",
        "Temporary failure resolving": "no package mirror can be reached from here; REFNET_DEBIAN_MIRROR names one",
        "Could not connect": "no package mirror can be reached from here; REFNET_DEBIAN_MIRROR names one",
        "Failed to fetch": "the package mirror failed; REFNET_DEBIAN_MIRROR names another",
        "NO_PUBKEY": "'apt-get install debian-archive-keyring gpg' brings the keys of Debian's archives",
        "Operation not permitted": "namespaces and mounts are refused here: build on a host, or with CAP_SYS_ADMIN",
    }
    return next((f": {advice[said]}" for said in advice if said in words), "")


@functools.cache
def namespaces_of_users() -> bool:
    """Find out whether this user gets a user namespace with a range of ids."""
    inside = ["unshare", "--map-root-user", "--map-auto", "--", "true"]
    try:
        return subprocess.run(inside, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _user() -> str:
    return os.environ.get("USER") or str(os.geteuid())


if __name__ == "__main__":
    try:
        print(linux_image(lambda words: print(f"conformance: {words}", file=sys.stderr, flush=True)).directory)
    except EnvironmentUnavailable as unavailable:
        print(f"conformance: {unavailable}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
