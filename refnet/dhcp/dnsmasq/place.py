"""Where a network's files are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """The directory of a device's network, and what is in it."""

    directory: Path
    device: str
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        """Put the directory together."""
        object.__setattr__(self, "path", self.directory / self.device)

    def __truediv__(self, name: str) -> Path:
        """Give a file of the directory."""
        return self.path / name

    # What this manager keeps.

    @property
    def network(self) -> Path:
        """The network without its hosts, and what its server was started with."""
        return self / "network.json"

    @property
    def kept_hosts(self) -> Path:
        """The hosts that the server knows, one a line."""
        return self / "hosts.jsonl"

    @property
    def changing(self) -> Path:
        """There while the files are being changed: if nobody holds the lock, somebody was killed at it."""
        return self / "changing"

    # What dnsmasq reads when it starts, and again when it is told to.

    @property
    def configuration(self) -> Path:
        """Options that go to clients that have not asked for them, and hosts with options; only when it starts."""
        return self / "conf"

    @property
    def hosts(self) -> Path:
        """Who gets which address."""
        return self / "hosts"

    @property
    def options(self) -> Path:
        """What clients are told."""
        return self / "options"

    @property
    def names(self) -> Path:
        """Names for DNS."""
        return self / "names"

    # Directories of files for single hosts that have been added since; where it can, it reads a new one at once.

    @property
    def added_hosts(self) -> Path:
        """As :attr:`hosts`."""
        return self / "hosts.d"

    @property
    def added_names(self) -> Path:
        """As :attr:`names`."""
        return self / "names.d"

    # What dnsmasq writes, and the program that it calls.

    @property
    def leases(self) -> Path:
        """The leases."""
        return self / "leases"

    @property
    def pid(self) -> Path:
        """The process."""
        return self / "pid"

    @property
    def log(self) -> Path:
        """What it has to say."""
        return self / "log"

    @property
    def event(self) -> Path:
        """The program that it calls when a lease changes."""
        return self / "event"

    @property
    def events(self) -> Path:
        """What that program keeps."""
        return self / "events"
