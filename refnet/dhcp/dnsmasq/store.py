"""What is kept of a network in its directory: what its server was started with, and the hosts that it knows."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from refnet.dhcp.dnsmasq import files
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.plan import Plan
from refnet.dhcp.file import from_plain, plain, plain_host
from refnet.dhcp.network import DhcpNetwork, Host
from refnet.errors import RefnetError

_log = logging.getLogger(__name__)

#: The version of what is written. Another one is not understood, and replaced by the next start.
_FORMAT = 1
#: Seconds that a reader waits while the files are being changed, and between two looks.
_SETTLING, _PAUSE = 1.0, 0.005
#: What a file's identity and content are known by.
Stamp = tuple[int, int, int]


#: One for all hosts: making one takes longer than using it.
_encoded = json.JSONEncoder(separators=(",", ":")).encode


class Known:
    """A network as it is kept, with what one host more has to be compared with.

    Attributes:
        network: the network; its hosts are those that it had when it was kept or read as a whole.
        device_number: the device that its server was started on: another one may have got the name since.
        start: what the server was started with; the files that it reads are not in it.
        pid: the server's process.
        hosts: the hosts, in the order in which they are kept.
    """

    def __init__(self, network: DhcpNetwork, device_number: int, start: Plan) -> None:
        """Keep them; hosts are put in order when that is needed."""
        self.network = network
        self.device_number = device_number
        self.start = start
        self.pid = 0
        self.hosts: list[Host] = list(network.hosts)
        self._index: Index | None = None
        self._data: dict[str, Any] | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The network without its hosts, as it is kept."""
        if self._data is None:
            self._data = plain(self.network, with_hosts=False)
        return self._data

    @property
    def index(self) -> Index:
        """The hosts by what they are known by."""
        if self._index is None:
            self._index = Index(self.hosts)
        return self._index

    def add(self, host: Host) -> None:
        """Take a host in."""
        self.hosts.append(host)
        if self._index is not None:
            self._index.add(host)

    def has_hosts(self, hosts: Sequence[Host]) -> bool:
        """Whether these are its hosts, in whatever order."""
        return len(hosts) == len(self.hosts) and (list(hosts) == self.hosts or not self.missing(hosts))

    def missing(self, hosts: Iterable[Host]) -> list[Host]:
        """Return those of some hosts that are none of its hosts, or not so."""
        by_mark = self.index.by_mark
        return [one for one in hosts if by_mark.get(one.identities[0]) != one]

    def whole(self) -> DhcpNetwork:
        """Return the network with its hosts."""
        return self.network.with_hosts(self.hosts)


class Index:
    """Hosts by what no two of them may have in common: identities, addresses, names."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        """Put hosts in order."""
        self.by_mark: dict[object, Host] = {}
        for host in hosts:
            self.add(host)

    def add(self, host: Host) -> None:
        """Take a host in."""
        for mark in _marks(host):
            self.by_mark[mark] = host

    def with_identity_of(self, host: Host) -> list[Host]:
        """Return the hosts that have an identity in common with one."""
        found = (self.by_mark.get(one) for one in host.identities)
        return list({id(one): one for one in found if one is not None}.values())

    def in_the_way_of(self, host: Host) -> tuple[object, Host] | None:
        """Return what a host has in common with another one that it does not replace, and that one."""
        replaced = {id(one) for one in self.with_identity_of(host)}
        for mark in _marks(host):
            other = self.by_mark.get(mark)
            if other is not None and id(other) not in replaced:
                return mark, other
        return None


class Store:
    """The networks of a directory, each remembered as long as its files are the same."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[str, tuple[tuple[Stamp, Stamp], Known]] = {}

    def load(self, place: Place) -> Known | None:
        """Return what is kept of a network; None: nothing that can be understood.

        Raises:
            PermissionDenied, KernelRefused: the files cannot be read.
        """
        stamps = _stamps(place)
        remembered = self._known.get(place.device)
        if stamps and remembered and remembered[0] == stamps:
            return remembered[1]
        self._known.pop(place.device, None)
        known = _read(place) if stamps else None
        if known and stamps and stamps == _stamps(place):
            self._known[place.device] = (stamps, known)
        return known

    def save(self, place: Place, known: Known) -> None:
        """Keep a network with all its hosts.

        Raises:
            PermissionDenied, KernelRefused: the files cannot be written.
        """
        self.prepared(place, known).put()
        self.remember(place, known)

    def prepared(self, place: Place, known: Known) -> files.Batch:
        """Return the files that keep a network, to be put in place, and remembered, when its server runs.

        Raises:
            PermissionDenied, KernelRefused: they cannot be written.
        """
        self._known.pop(place.device, None)
        record = {
            "format": _FORMAT,
            "network": known.data,
            "device_number": known.device_number,
            "pid": known.pid,
            "arguments": known.start.arguments,
            "environment": known.start.environment,
            "configuration": known.start.configuration,
        }
        hosts = "".join(map(_line, known.hosts))
        return files.Batch({place.kept_hosts: hosts, place.network: json.dumps(record) + "\n"})

    def settled(self, place: Place) -> Known | None:
        """Return what is kept of a network without holding its lock: not, if it can be helped, while it is changed.

        Raises:
            PermissionDenied, KernelRefused: the files cannot be read.
        """
        deadline = time.monotonic() + _SETTLING
        while True:
            known = self.load(place)
            if interrupted(place) is None or time.monotonic() >= deadline:
                return known
            time.sleep(_PAUSE)

    def add(self, place: Place, known: Known, hosts: Sequence[Host]) -> None:
        """Keep some hosts more, at the end of the others.

        Raises:
            PermissionDenied, KernelRefused: the file cannot be written.
        """
        self._known.pop(place.device, None)
        files.append(place.kept_hosts, "".join(map(_line, hosts)))
        for host in hosts:
            known.add(host)
        self.remember(place, known)

    def forget(self, device: str) -> None:
        """Remember nothing of a network."""
        self._known.pop(device, None)

    def remember(self, place: Place, known: Known) -> None:
        """Remember a network as its files now have it."""
        stamps = _stamps(place)
        if stamps:
            self._known[place.device] = (stamps, known)


def begin(place: Place, what: str) -> None:
    """Mark the files as being changed, until :func:`end`.

    ``what`` is "hosts" if the running server has to read them again afterwards, or "server" if it is started anew.

    Raises:
        PermissionDenied, KernelRefused: the mark cannot be made.
    """
    if interrupted(place) != "server":
        files.replace({place.changing: f"{what}\n"})


def end(place: Place) -> None:
    """Take the mark away.

    Raises:
        PermissionDenied, KernelRefused: it cannot be removed.
    """
    for error in files.remove([place.changing]):
        raise error


def interrupted(place: Place) -> str | None:
    """Return what somebody was at who was killed while the files were being changed; None: nobody was.

    Raises:
        PermissionDenied, KernelRefused: it cannot be read.
    """
    text = files.read(place.changing)
    return None if text is None else "hosts" if text == "hosts\n" else "server"


def record(place: Place) -> dict[str, Any] | None:
    """Return what is kept of a network but for its hosts, as it stands in the file; None: nothing that is whole.

    Raises:
        PermissionDenied, KernelRefused: the file cannot be read.
    """
    text = files.read(place.network)
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    is_whole = isinstance(found, dict) and found.get("format") == _FORMAT and isinstance(found.get("network"), dict)
    return found if is_whole else None


def recorded_pid(place: Place) -> int | None:
    """Return the process that is known to be the server, if it lives; None: nothing is known.

    Raises:
        PermissionDenied, KernelRefused: the files cannot be read.
    """
    found = None if interrupted(place) == "server" else record(place)
    pid = found.get("pid") if found else None
    return pid if isinstance(pid, int) and pid > 1 else None


def prepared(place: Place, plan: Plan) -> files.Batch:
    """Return what the server reads, to be put in place by :func:`lay`.

    Raises:
        PermissionDenied, KernelRefused: it cannot be written.
    """
    return files.Batch(
        {
            place.configuration: plan.configuration,
            place.options: plan.options,
            place.names: plan.names,
            place.hosts: plan.hosts,
        }
    )


def lay(place: Place, made: files.Batch, *, has_inotify: bool) -> None:
    """Put what the server reads in place, and remove what was added since it was written last.

    Raises:
        PermissionDenied, KernelRefused: it cannot be done.
    """
    made.put()
    for one in (place.added_hosts, place.added_names):
        files.no_link(one)
        if has_inotify:
            files.directory(one)
        # The server, which still runs with them, takes notice of what is removed from there or renamed to there, but
        # not of what is renamed to elsewhere.
        away = files.temporary(one)
        for name in files.listed(one):
            with files.refusals(one / name, "removed"):
                (one / name).replace(away)
        for error in files.remove([away]):
            raise error


def _line(host: Host) -> str:
    return _encoded(plain_host(host)) + "\n"


def _marks(host: Host) -> Iterator[object]:
    yield from host.identities
    yield from host.addresses
    if host.name:
        yield ("name", host.name)


def _read(place: Place) -> Known | None:
    text, lines = files.read(place.network), files.read(place.kept_hosts)
    if text is None or lines is None:
        return None
    try:
        record = json.loads(text)
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']} is not {_FORMAT}")
        start = Plan(
            arguments=tuple(map(str, record["arguments"])),
            environment=tuple(map(str, record["environment"])),
            configuration=str(record["configuration"]),
            hosts="",
            options="",
            names="",
        )
        hosts = [json.loads(line) for line in lines.splitlines()]
        known = Known(from_plain({**record["network"], "host": hosts}), int(record["device_number"]), start)
        known.pid = int(record["pid"])
        if known.network.device != place.device:
            raise ValueError("it is of another device")
    except (ValueError, TypeError, KeyError, AttributeError, RefnetError) as error:
        _log.warning("what is kept of the network in %s cannot be understood, and is left alone: %s", place.path, error)
        return None
    return known


def _stamps(place: Place) -> tuple[Stamp, Stamp] | None:
    try:
        return _stamp(place.network), _stamp(place.kept_hosts)
    except OSError:
        return None


def _stamp(path: Path) -> Stamp:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns
