"""From what stands to what is asked for: nothing, a few files more, a reload, a restart or a start.

Whoever is here holds the lock of the network. Each way begins with a mark in the directory and ends with its removal:
where the mark is found, somebody was killed between, and everything is written anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from refnet.dhcp.dnsmasq import cleaning, event, files, leasing, server, store, withdraw
from refnet.dhcp.dnsmasq.hosts import host_line, is_tagged, name_lines, tag
from refnet.dhcp.dnsmasq.place import Place
from refnet.dhcp.dnsmasq.plan import Plan, Server, arguments, last_read, plan, serves_leases
from refnet.dhcp.dnsmasq.processes import Process
from refnet.dhcp.dnsmasq.store import Known, Store
from refnet.dhcp.file import plain
from refnet.dhcp.network import DhcpNetwork, Host
from refnet.errors import AddressInUse, NoAnswer, RefnetError

#: So many new hosts are written into files of their own; more are written together with all others.
_FEW = 16
#: dnsmasq looks for each lease among all hosts, for each new file with hosts or names, and once when it reads all.
_MANY_PAIRS = 5_000_000
#: A file without hosts: no tag of a host is such a word.
_NEXT = "next"
#: Seconds in which a server takes notice of a new file.
_QUICK = 3.0
#: Seconds in which the kernel closes the sockets of a process that was killed, and between two tries to have them.
_CLOSING, _PAUSE = 2.0, 0.05

#: Lays the firewall's rules for a network whose server is to run, and takes away those of devices that have none.
LayRules = Callable[[DhcpNetwork | None, tuple[str, ...]], None]


class Life:
    """The server of one network, while it is being changed."""

    def __init__(self, place: Place, kept: Store, time_limit: float, lay_rules: LayRules, made: set[Path]) -> None:
        """Keep what all ways need; ``made`` are directories that this manager has made."""
        self._place = place
        self._made = made
        self._store = kept
        self._time_limit = time_limit
        self._lay_rules = lay_rules

    def serve(
        self, network: DhcpNetwork, device_number: int, known: Known | None, process: Process | None, host: Server
    ) -> None:
        """Bring the server to serve a network, from what is known of it and the process that runs."""
        interrupted = store.interrupted(self._place)
        server.limit_log(self._place)
        if (
            known
            and process
            and interrupted is None
            and known.device_number == device_number
            and known.data == plain(network, with_hosts=False)
            and process.arguments == known.start.arguments == arguments(network, self._place, host)
        ):
            if known.has_hosts(network.hosts):
                self._lay_rules(network, ())
                return
            count = len(known.hosts)
            is_more = list(network.hosts[:count]) == known.hosts
            if is_more and self.add_few(known, network.hosts[count:], process, host):
                self._lay_rules(network, ())
                return
        planned = plan(network, self._place, host)
        wanted = Known(network, device_number, planned)
        if (
            known
            and process
            and interrupted != "server"
            and known.device_number == device_number
            and process.arguments == planned.arguments
            and planned.is_same_start(known.start)
        ):
            try:
                self._reload(wanted, planned, known, process, host)
            except RefnetError:
                if process.is_alive():
                    raise
                # It has died of it, which is no reason to serve nobody.
                self._start(wanted, planned, known, process, host)
            self._lay_rules(network, ())
        else:
            self._start(wanted, planned, known, process, host)

    # -- the running server reads its files again ------------------------------------------------------

    def add_few(self, known: Known, hosts: Sequence[Host], process: Process, host: Server) -> bool:
        """Have the server know some hosts more, at a cost that does not depend on the others; False: it takes more."""
        network, place = known.network, self._place
        if not 0 < len(hosts) <= _FEW or store.interrupted(place) is not None:
            return False
        server.limit_log(place)
        if any(map(is_tagged, hosts)):
            return False
        made = self._files(network, hosts)
        store.begin(place, "hosts")
        try:
            offset = server.log_size(place)
            if host.has_inotify and leasing.estimate(place) * len(known.hosts) <= _MANY_PAIRS:
                last, limit = self._add_files(made), min(_QUICK, self._time_limit)
            else:
                last, limit = self._add_lines(made, network), self._time_limit
                server.send_to_read(network, process)
            if last:
                server.wait_until_read(place, process, offset, last, limit)
            self._store.add(place, known, hosts)
        except RefnetError as error:
            # It may not watch these directories, or may have died: told to read everything, or started, it knows them.
            if isinstance(error, NoAnswer) or not process.is_alive():
                return False
            with contextlib.suppress(RefnetError):
                self._restore(known, process, host)
            raise
        store.end(place)
        return True

    def _files(self, network: DhcpNetwork, hosts: Sequence[Host]) -> dict[Path, str]:
        """Return the files that have the server know hosts, those that it reads; what makes them known comes last."""
        place, name = self._place, tag(hosts[0]).removeprefix("@")
        made: dict[Path, list[str]] = {}
        if network.dns:
            made[place.added_names / name] = [line for one in hosts for line in name_lines(one, network.domain)]
        if serves_leases(network):
            made[place.added_hosts / name] = [host_line(one) for one in hosts]
        return {path: "".join(f"{line}\n" for line in lines) for path, lines in made.items() if lines}

    def _add_files(self, made: Mapping[Path, str]) -> Path | None:
        """Put files where the server looks for new ones, and return the last of them."""
        place, last = self._place, None
        for path, text in made.items():
            files.directory(path.parent)
            files.replace({path: text})
            last = path
        if last is not None and last.parent == place.added_hosts:
            # dnsmasq says of such a file that it has read it before it does: when it comes to the next one, it has.
            last = place.added_hosts / _NEXT
            files.replace({last: ""})
        return last

    def _add_lines(self, made: Mapping[Path, str], network: DhcpNetwork) -> Path | None:
        """Add lines to the files that the server reads when it reloads, and return the last of those."""
        place = self._place
        base = {place.added_names: place.names, place.added_hosts: place.hosts}
        for path, text in made.items():
            files.append(base[path.parent], text)
        return last_read(network, place)

    def _reload(self, wanted: Known, planned: Plan, known: Known, process: Process, host: Server) -> None:
        store.begin(self._place, "hosts")
        wanted.pid = process.pid
        try:
            self._read_again(planned, wanted.network, process, has_inotify=host.has_inotify)
            self._store.save(self._place, wanted)
        except RefnetError:
            with contextlib.suppress(RefnetError):
                if process.is_alive():
                    self._restore(known, process, host)
            raise
        store.end(self._place)

    def _read_again(self, planned: Plan, network: DhcpNetwork, process: Process, *, has_inotify: bool) -> None:
        offset = server.log_size(self._place)
        store.lay(self._place, store.prepared(self._place, planned), has_inotify=has_inotify)
        server.send_to_read(network, process)
        last = last_read(network, self._place)
        if last is not None:
            server.wait_until_read(self._place, process, offset, last, self._time_limit)

    def _restore(self, known: Known, process: Process, host: Server) -> None:
        """Give the running server back what it had."""
        before = plan(known.whole(), self._place, host)
        self._read_again(before, known.network, process, has_inotify=host.has_inotify)
        self._store.save(self._place, known)
        store.end(self._place)

    # -- a server is started ---------------------------------------------------------------------------

    def _start(self, wanted: Known, planned: Plan, known: Known | None, process: Process | None, host: Server) -> None:
        """Start a server, in the place of the one that runs, if one does.

        What can be refused, or fail for want of room, comes before that one is stopped.
        """
        place = self._place
        read: files.Batch | None = None
        try:
            if process:
                self._try_out(planned)
            cleaning.make(place, self._made)
            store.begin(place, "server")
            read = store.prepared(place, planned)
            if wanted.network.lease_events:
                event.write(place)
            if process and known and known.network.lease_events:
                # It goes on serving meanwhile, which it does not while it ends.
                server.wait_until_told(place, self._time_limit / 2)
            server.stop(place, store.recorded_pid(place), self._time_limit)
            if known and not wanted.network.router_advertisement:
                with contextlib.suppress(RefnetError):
                    withdraw.send(known.network)
            self._spawn(wanted, planned, read, has_inotify=host.has_inotify)
        except RefnetError:
            if read:
                read.discard()
            with contextlib.suppress(RefnetError):
                self._go_back(known, process, host)
            raise
        store.end(place)

    def _try_out(self, planned: Plan) -> None:
        """See that dnsmasq takes arguments and configuration, while another one still runs."""
        trial = files.temporary(self._place.configuration)
        files.replace({trial: planned.configuration})
        try:
            server.try_out([*planned.arguments[:-1], f"--conf-file={trial}"], self._time_limit)
        finally:
            files.remove([trial])

    def _spawn(self, wanted: Known, planned: Plan, read: files.Batch, *, has_inotify: bool) -> None:
        """Put the files that dnsmasq reads in place, start it, and keep what it was started with."""
        place, network = self._place, wanted.network
        store.lay(place, read, has_inotify=has_inotify)
        self._see_to_log()
        for path in (place.leases, place.events):
            files.no_link(path)
        leasing.convert(place, network)
        offset = server.log_size(place)
        self._lay_rules(network, ())
        self._spawn_when_free(wanted.network, planned)
        with server.started(place) as found:
            with contextlib.suppress(OSError):
                place.log.chmod(files.MODE)  # dnsmasq gives it to its user and group alone
            wanted.pid = found.pid
            kept = self._store.prepared(place, wanted)  # while it reads
            try:
                server.wait_until_read(place, found, offset, last_read(network, place), self._time_limit)
                kept.put()
            finally:
                kept.discard()
        self._store.remember(place, wanted)
        # Others, to whom this one did not run yet, may have laid theirs without it meanwhile.
        self._lay_rules(network, ())

    def _spawn_when_free(self, network: DhcpNetwork, planned: Plan) -> None:
        """Start dnsmasq; if one was killed just now, by whomever, as soon as the kernel has closed its sockets."""
        deadline = time.monotonic() + _CLOSING
        while True:
            try:
                return server.spawn(network, planned.arguments, planned.environment, self._time_limit)
            except AddressInUse:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_PAUSE)

    def _see_to_log(self) -> None:
        """Have a log that everybody can read; dnsmasq makes one for itself only."""
        place = self._place
        files.no_link(place.log)
        if not place.log.exists():
            files.replace({place.log: ""})

    def _go_back(self, known: Known | None, process: Process | None, host: Server) -> None:
        """Have the server that ran run again, or none."""
        place = self._place
        if process is not None and process.is_alive():
            # Nothing has changed that it would notice.
            store.end(place)
            return
        server.stop(place, store.recorded_pid(place), self._time_limit)
        if known is not None and process is not None:
            before = plan(known.whole(), place, host)
            self._spawn(known, before, store.prepared(place, before), has_inotify=host.has_inotify)
        else:
            self._lay_rules(None, (place.device,))
            if known is None:
                for error in cleaning.clean(place, self._made, forget=not cleaning.has_leases(place)):
                    raise error
        store.end(place)
