"""The disk of ``freebsd-vm``: from the cache, or made into it from FreeBSD's own image by images/freebsd-vm.

``python -m conformance.environments.freebsd_image [FILE]`` says where it is, and makes it first if need be; FILE is
FreeBSD's image, if it has been downloaded already.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from conformance.environments import download, freebsd_provision, images, qemu
from conformance.environments.freebsd_guest import ARCHITECTURE
from conformance.errors import EnvironmentUnavailable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Takes the place of the mirrors in release.toml: what comes before "/VM-IMAGES".
MIRROR = "FREEBSD_MIRROR"
#: Of the recipe's files those that say what comes out.
_RECIPE = ("release.toml", "packages", "user-data", "meta-data", "provision")
#: Programs that making it takes, and Debian's packages that bring them.
_PROGRAMS = {"qemu-img": "qemu-utils", "xorriso": "xorriso", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
#: Bytes: FreeBSD's image as it is downloaded, unpacked, and with what is installed.
_ROOM = 6 << 30
_CHUNK = 1 << 20
_TELL = 10.0


@dataclass(frozen=True, slots=True)
class FreebsdImage:
    """A disk with FreeBSD, and the way into it."""

    directory: Path

    @property
    def disk(self) -> Path:
        """The disk, as qcow2. Never to be written to."""
        return self.directory / "disk.qcow2"

    @property
    def key(self) -> Path:
        """The private key that its root lets in."""
        return self.directory / "key"


@dataclass(frozen=True, slots=True)
class Release:
    """FreeBSD's image that a recipe starts from."""

    name: str
    file: str
    sha512: str
    addresses: tuple[str, ...]


def recipe_directory() -> Path:
    """Return where the recipe is: beside the package in a checkout, in the package where it was installed.

    Raises:
        EnvironmentUnavailable: in neither.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package.parent / "images" / "freebsd-vm", package / "_images" / "freebsd-vm"):
        if (place / "release.toml").is_file():
            return place
    raise EnvironmentUnavailable(
        f"the recipe of the FreeBSD image is neither beside nor in {package}: install refnet again, or use a checkout"
    )


def release(recipe: Path) -> Release:
    """Return which image of FreeBSD's is meant.

    Raises:
        EnvironmentUnavailable: ``FREEBSD_MIRROR`` is no address.
    """
    pinned = tomllib.loads((recipe / "release.toml").read_text())
    mirrors = pinned["mirrors"]
    mirror = os.environ.get(MIRROR)
    if mirror:
        if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc:
            raise EnvironmentUnavailable(f"{MIRROR}={mirror!r} is no address: expected http://… or https://…")
        mirrors = [mirror]
    addresses = tuple(f"{one.rstrip('/')}/{pinned['path']}/{pinned['file']}" for one in mirrors)
    return Release(pinned["release"], pinned["file"], pinned["sha512"], addresses)


def recipe_hash(recipe: Path) -> str:
    """Return the hash that tells images apart: of the files that say what comes out."""
    digest = hashlib.sha256()
    for name in _RECIPE:
        content = (recipe / name).read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def cache_directory() -> Path:
    """Return the folder of these images, which need not be there."""
    return images.cache_directory() / "freebsd-vm"


def cached(recipe: Path | None = None) -> FreebsdImage | None:
    """Return the image if it has been made.

    Raises:
        EnvironmentUnavailable: its recipe is not to be found.
    """
    directory = cache_directory() / recipe_hash(recipe or recipe_directory())
    return FreebsdImage(directory) if directory.is_dir() else None


def missing() -> list[str]:
    """Return what making an image lacks here, each with the way to get it."""
    lacking = sorted({package for name, package in _PROGRAMS.items() if shutil.which(name) is None})
    words = [f"'apt-get install {package}' brings what is missing to make the image" for package in lacking]
    return [*qemu.missing(ARCHITECTURE), *words]


def how_to_get_one() -> str:
    """Say how an image can be had, for who has none.

    Raises:
        EnvironmentUnavailable: the recipe is not to be found, or ``FREEBSD_MIRROR`` is no address.
    """
    wanted = release(recipe_directory())
    return (
        "no FreeBSD disk is here yet: 'make freebsd-image' in a checkout of refnet makes one of FreeBSD's own image, "
        "which it downloads; or give a disk that you have with --disk PATH, and the key that its root lets in with "
        f"--ssh-key PATH. Without a network here, put {wanted.addresses[0]} into {_downloads()} and run "
        "'make freebsd-image' then, where packages can be had"
    )


def freebsd_image(
    say: Callable[[str], None] = lambda _: None, given: Path | None = None, recipe: Path | None = None
) -> FreebsdImage:
    """Return the image, made first if it is not there; ``given`` is FreeBSD's image where it was downloaded by hand.

    Whatever ends this half way, Ctrl-C or kill -9, the next call goes on with the download, and begins the rest anew.

    Raises:
        EnvironmentUnavailable: it cannot be made; the message says what is missing and how to get it.
    """
    recipe = recipe or recipe_directory()
    image = cached(recipe)
    if image is not None:
        return image
    lacking = missing()
    if lacking:
        raise EnvironmentUnavailable(f"the FreeBSD image is not made yet: {'; '.join(lacking)}")
    wanted = release(recipe)
    try:
        cache_directory().mkdir(parents=True, exist_ok=True)
        with _only_maker():
            return cached(recipe) or _make(recipe, wanted, given, say)
    except OSError as error:
        raise EnvironmentUnavailable(
            f"the FreeBSD image cannot be made in {cache_directory()}: {error}; XDG_CACHE_HOME names another place"
        ) from error


@contextlib.contextmanager
def _only_maker() -> Iterator[None]:
    path = cache_directory() / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentUnavailable(
                f"another process is making the FreeBSD image: wait for it ('fuser -v {path}' finds it)"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _make(recipe: Path, wanted: Release, given: Path | None, say: Callable[[str], None]) -> FreebsdImage:
    cache = cache_directory()
    for left in cache.glob("making-*"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(cache).free
    if free < _ROOM:
        raise EnvironmentUnavailable(
            f"making the FreeBSD image takes {_ROOM >> 30} GiB, and {free / (1 << 30):.1f} GiB are free in {cache}: "
            "make room, or have XDG_CACHE_HOME name another place"
        )
    began = time.monotonic()
    packed = _packed(wanted, given, say)
    temporary = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    try:
        say(f"unpacking {packed.name}")
        making = FreebsdImage(temporary)
        _unpack(packed, making.disk, say)
        seed = freebsd_provision.prepare(recipe, making.disk, making.key)
        freebsd_provision.provision(recipe, making.disk, making.key, seed, say)
        directory = cache / recipe_hash(recipe)
        temporary.chmod(0o755)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"the FreeBSD image is made: {directory}, in {time.monotonic() - began:.0f} s")
    return FreebsdImage(directory)


def _downloads() -> Path:
    return cache_directory() / "downloads"


def _packed(wanted: Release, given: Path | None, say: Callable[[str], None]) -> Path:
    """Return FreeBSD's image as it is published: the one that was given, that is there already, or that is fetched."""
    target = _downloads() / wanted.file
    if given is not None or target.exists():
        path = given or target
        try:
            say(f"looking at the checksum of {path}")
            found = download.sha512_of(path)
        except OSError as error:
            raise EnvironmentUnavailable(f"{path} cannot be read: {error.strerror}; {_by_hand(wanted)}") from None
        if found != wanted.sha512:
            raise EnvironmentUnavailable(
                f"{path} is not {wanted.file} as FreeBSD published it: its SHA-512 is {found}; {_by_hand(wanted)}"
            )
        return path
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"downloading {wanted.addresses[0]} (about 550 MiB)")
    try:
        download.fetch(wanted.addresses, target, wanted.sha512, say)
    except download.DownloadFailed as failed:
        raise EnvironmentUnavailable(f"FreeBSD's image cannot be downloaded: {failed}; {_by_hand(wanted)}") from None
    return target


def _by_hand(wanted: Release) -> str:
    return (
        f"download {wanted.addresses[0]} (SHA-512 {wanted.sha512}) where there is a network, and put it into "
        f"{_downloads()} here, or name it with 'make freebsd-image IMAGE=FILE'; {MIRROR}=URL names another mirror"
    )


def _unpack(packed: Path, target: Path, say: Callable[[str], None]) -> None:
    """Unpack what xz has packed.

    Raises:
        EnvironmentUnavailable: it is damaged, or this Python was built without lzma.
    """
    try:
        import lzma
    except ImportError:
        raise EnvironmentUnavailable(f"this Python has no lzma: unpack {packed} with xz, and name the result") from None
    told = time.monotonic()
    size = packed.stat().st_size
    try:
        with packed.open("rb") as raw, lzma.open(raw) as source, target.open("wb") as written:
            while data := source.read(_CHUNK):
                written.write(data)
                if time.monotonic() - told > _TELL:
                    told = time.monotonic()
                    say(f"{raw.tell() * 100 // size} %")
    except (lzma.LZMAError, EOFError) as error:
        raise EnvironmentUnavailable(f"{packed} cannot be unpacked: {error}") from None


def main() -> int:
    """Make the image and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.environments.freebsd_image",
        description="Make the FreeBSD image, if it is not there yet, and say where it is.",
        epilog=f"environment: {MIRROR}=URL names the mirror (what comes before /VM-IMAGES); "
        "XDG_CACHE_HOME the place where images are kept. exit status: 3 if it cannot be made.",
    )
    parser.add_argument("image", nargs="?", type=Path, metavar="FILE", help="FreeBSD's image, downloaded already")
    arguments = parser.parse_args()
    try:
        image = freebsd_image(
            lambda words: print(f"conformance: {words}", file=sys.stderr, flush=True), arguments.image
        )
    except EnvironmentUnavailable as unavailable:
        print(f"conformance: {unavailable}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    print(image.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
