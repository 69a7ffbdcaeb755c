"""Open vSwitch for a sandbox: its two daemons, its database, and its own tools to look with.

Nothing here is shared with the drivers that are judged. A second look at the database is one at its file
(ovsdb(5)), which is there whether a server runs or not, and has no column that changes by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance import features
from conformance.errors import SuiteError
from conformance.topology.base import Stack

#: All that is needed of it.
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
#: Where it is found by whoever is told nothing else.
DEFAULT_PLACE = Path("/var/run/openvswitch")

_SCHEMAS = tuple(Path(prefix, "share/openvswitch/vswitch.ovsschema") for prefix in ("/usr", "/usr/local"))
#: Seconds for a daemon to end, and for a tool to have an answer; programs themselves are given 30.
_END_LIMIT, _TOOL_LIMIT = 20.0, 25
_DATABASE, _DAEMON = "ovsdb-server", "ovs-vswitchd"
#: What the daemons make in their directory: theirs, and a control socket and a snooping one for each bridge.
_OWN_FILES = re.compile(r"conf\.db|\.conf\.db\.~lock~|db\.sock|ovs(db-server|-vswitchd)\..*|.*\.(mgmt|snoop)")
#: By table: columns that the switch writes, of itself or in answer to what was written, at a time of its own choosing.
_WRITTEN_BACK = {
    "Open_vSwitch": {"cur_cfg", "datapath_types", "iface_types", "dpdk_initialized", "dpdk_version"},
    "Bridge": {"datapath_version"},
    "Interface": {"ofport", "error"},
}
#: By table: what of a row is no state: the above but for an interface's, and the count of what was written.
_RESTLESS = {"Open_vSwitch": {"next_cfg", *_WRITTEN_BACK["Open_vSwitch"]}, "Bridge": _WRITTEN_BACK["Bridge"]}
#: The head of a record of the database's file (ovsdb(5), "Database file format").
_RECORD = re.compile(rb"OVSDB (?:JSON|CLUSTER) (\d+) [0-9a-f]{40}\n")
_MOST_WORDS = 2000
_EMPTY: tuple[Any, ...] = ([], {}, "", 0, False)


class Switch:
    """An ovsdb-server and an ovs-vswitchd in a stack, their files in a directory of their own."""

    def __init__(self, stack: Stack, directory: Path = DEFAULT_PLACE) -> None:
        """Make the database and start both.

        Raises:
            SuiteError: they do not start; what they said is in the message.
        """
        self.directory = directory
        self._stack = stack
        self._has_made = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            schema = next((str(one) for one in _SCHEMAS if one.exists()), str(_SCHEMAS[0]))
            self._tool("ovsdb-tool", "create", str(self._file), schema)
            self.start_database()
            self.vsctl("--no-wait", "init")
            self.start_daemon()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """Where the database is, as ovsdb-client(1) and others take it."""
        return f"unix:{self.directory}/db.sock"

    @property
    def datapath(self) -> str:
        """The type of datapath that bridges can have here: the kernel's if it has one."""
        from refnet.netdev.driver import Capability

        return "netdev" if features.lacking(Capability.OVS_KERNEL_DATAPATH) else "system"

    # -- tools ----------------------------------------------------------------------------------------

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl(8) and return what it printed, without blanks at the ends.

        Raises:
            SuiteError: it failed.
        """
        return self._tool("ovs-vsctl", f"--db={self.address}", f"--timeout={_TOOL_LIMIT}", *words).strip()

    def ofctl(self, *words: str) -> str:
        """Run ovs-ofctl(8) and return what it printed.

        Raises:
            SuiteError: it failed.
        """
        return self._tool("ovs-ofctl", f"--timeout={_TOOL_LIMIT}", *words)

    def appctl(self, *words: str) -> str:
        """Ask ovs-vswitchd by ovs-appctl(8), and return what it said.

        Raises:
            SuiteError: it failed.
        """
        target = f"--target={self.directory}/{_DAEMON}.ctl"
        return self._tool("ovs-appctl", target, f"--timeout={_TOOL_LIMIT}", *words)

    def forget_ways(self) -> None:
        """Have ovs-vswitchd decide anew about every kind of frame.

        What it has decided stays in force a while after a change, for frames just like those that it was asked about:
        it says that a change is done, and goes through the ways that it remembers behind that.
        """
        self.appctl("revalidator/purge")

    # -- the daemons ----------------------------------------------------------------------------------

    def start_database(self) -> None:
        """Start ovsdb-server, unless it runs; it answers when this returns.

        Raises:
            SuiteError: it does not start.
        """
        self._start(_DATABASE, str(self._file), f"--remote=p{self.address}")

    def stop_database(self, *, kill: bool = False) -> None:
        """End ovsdb-server, by SIGTERM or with ``kill`` by SIGKILL; the switch goes on with what it knows."""
        self._end(_DATABASE, kill=kill)

    def start_daemon(self) -> None:
        """Start ovs-vswitchd, unless it runs; it has done what stands in the database when this returns.

        Raises:
            SuiteError: it does not start, or no database answers it.
        """
        self._start(_DAEMON, self.address)

    def stop_daemon(self, *, kill: bool = False) -> None:
        """End ovs-vswitchd, by SIGTERM or with ``kill`` by SIGKILL."""
        self._end(_DAEMON, kill=kill)

    def restart(self, *, kill: bool = False) -> None:
        """End both and start both again."""
        self.stop_daemon(kill=kill)
        self.stop_database(kill=kill)
        self.mend()

    def mend(self) -> None:
        """Start what does not run."""
        self.start_database()
        self.start_daemon()

    @contextlib.contextmanager
    def hung_database(self) -> Iterator[None]:
        """Have ovsdb-server do nothing for the length of the context: it takes connections, and never answers."""
        with self._hung(_DATABASE):
            yield

    @contextlib.contextmanager
    def hung_daemon(self) -> Iterator[None]:
        """Have ovs-vswitchd do nothing for the length of the context."""
        with self._hung(_DAEMON):
            yield

    def pids(self) -> set[int]:
        """Return the numbers of the daemons that run."""
        return {pid for name in (_DATABASE, _DAEMON) if (pid := self._pid(name)) is not None}

    def close(self) -> None:
        """End both, and remove what they have left."""
        for name in (_DAEMON, _DATABASE):
            self._end(name, kill=True)
        if self._has_made:
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- looking --------------------------------------------------------------------------------------

    def owns(self, path: str | Path) -> bool:
        """Whether a file is one of the daemons'."""
        place = Path(path)
        is_there = os.path.realpath(place.parent) == os.path.realpath(self.directory)
        return is_there and _OWN_FILES.fullmatch(place.name) is not None

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the database's file by table and name (``Port tap1``), without columns that are empty.

        The root, ``Open_vSwitch``, is among them if anything is said of it. Left out are columns that the switch writes
        by itself, and the counts of what was written.

        Raises:
            SuiteError: the file cannot be read.
        """
        tables = self._tables()
        selects = [{"op": "select", "table": table, "where": []} for table in tables]
        query = json.dumps(["Open_vSwitch", *selects])
        deadline = time.monotonic() + _END_LIMIT
        while True:
            try:
                answers = json.loads(self._tool("ovsdb-tool", "query", str(self._file), query))
                break
            except SuiteError:
                # The server may be in the middle of a record.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        found: dict[str, dict[str, Any]] = {}
        for table, answer in zip(tables, answers, strict=True):
            for row in answer["rows"]:
                left_out = {"_version", *_RESTLESS.get(table, ())}
                values = {key: _plain(value) for key, value in row.items() if key not in left_out}
                name = "" if table == "Open_vSwitch" else f" {values.get('name') or values['_uuid']}"
                found[f"{table}{name}"] = {key: value for key, value in values.items() if value not in _EMPTY}
        # The root is always there; what is said of it is empty, where nobody has said anything.
        if found.get("Open_vSwitch", {}).keys() == {"_uuid"}:
            del found["Open_vSwitch"]
        return found

    def records(self) -> list[str]:
        """Return what was written to the database's file so far, a text for each transaction that changed something.

        What only the switch itself writes is left out.
        """
        data = self._file.read_bytes()
        found, offset = [], 0
        while head := _RECORD.match(data, offset):
            offset = head.end() + int(head[1])
            text = data[head.end() : offset].decode(errors="replace").strip()
            # A record that is cut short: the server is writing it.
            if len(data) >= offset and not _is_written_back(json.loads(text)):
                found.append(text)
        return found[1:]  # behind the schema

    def complaint(self) -> str:
        """Return what ovs-vswitchd has last complained of in its log; "": nothing."""
        lines = [line.split("|", 4) for line in self._log(_DAEMON).splitlines()]
        return next((words[4] for words in reversed(lines) if len(words) > 4 and words[3] in ("ERR", "WARN")), "")

    def evidence(self) -> Mapping[str, str]:
        """Return what a person would look at, as text by file name."""
        texts = {"switch.txt": "".join(f"{name}: {row}\n" for name, row in self.rows().items())}
        texts["switch-writes.txt"] = "".join(f"{record}\n" for record in self.records())
        for name in (_DATABASE, _DAEMON):
            texts[f"{name}.log"] = self._log(name)
        return texts

    def _tables(self) -> list[str]:
        try:
            with self._file.open("rb") as file:
                file.readline()
                return list(json.loads(file.readline())["tables"])
        except (OSError, ValueError, LookupError) as error:
            raise SuiteError(f"{self._file} is no database of Open vSwitch: {error}") from None

    # -- how ------------------------------------------------------------------------------------------

    @property
    def _file(self) -> Path:
        return self.directory / "conf.db"

    def _tool(self, program: str, *words: str) -> str:
        try:
            return self._stack.run("env", f"OVS_RUNDIR={self.directory}", program, *words)
        except subprocess.TimeoutExpired as error:
            raise SuiteError(f"scaffolding: {program} {' '.join(words)} does not end: {error.output!r}") from None

    def _start(self, name: str, *words: str) -> None:
        if self._pid(name) is not None:
            return
        for suffix in ("ctl", "pid"):  # what one that was killed has left
            (self.directory / f"{name}.{suffix}").unlink(missing_ok=True)
        places = {"--pidfile": "pid", "--unixctl": "ctl", "--log-file": "log"}
        options = [f"{option}={self.directory}/{name}.{suffix}" for option, suffix in places.items()]
        try:
            # In the background, the parent ends when the daemon answers (ovs-vswitchd(8), "--detach").
            self._tool(name, *words, *options, "--detach", "--no-chdir", "-vconsole:err", "-vsyslog:off")
        except SuiteError as error:
            raise SuiteError(f"{error}; its log ends with: {self._log(name)[-_MOST_WORDS:]}") from None

    def _end(self, name: str, *, kill: bool) -> None:
        pid = self._pid(name)
        if pid is None:
            return
        deadline = time.monotonic() + _END_LIMIT
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        while _runs(pid):
            if time.monotonic() > deadline:
                raise SuiteError(f"{name} does not end; its log ends with: {self._log(name)[-_MOST_WORDS:]}")
            time.sleep(0.005)

    @contextlib.contextmanager
    def _hung(self, name: str) -> Iterator[None]:
        pid = self._pid(name)
        if pid is None:
            raise SuiteError(f"{name} does not run, and cannot hang")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _pid(self, name: str) -> int | None:
        """Return the number of a daemon that runs."""
        try:
            pid = int((self.directory / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if _runs(pid) else None

    def _log(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / f"{name}.log").read_text(errors="replace")
        return ""


def lacking(path: str | None = None) -> str | None:
    """Return which program of it is not on a PATH; None: none."""
    return next((name for name in PROGRAMS if not shutil.which(name, path=path)), None)


def _runs(pid: int) -> bool:
    # A daemon is adopted by this process when the program that has started it ends.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_written_back(record: Mapping[str, Any]) -> bool:
    """Whether a record has only what the switch itself writes; what begins with "_" is about the record."""
    tables = {table: rows for table, rows in record.items() if not table.startswith("_")}
    if not tables.keys() <= _WRITTEN_BACK.keys():
        return False
    return all(
        row is not None and row.keys() <= _WRITTEN_BACK[table]
        for table, rows in tables.items()
        for row in rows.values()
    )


def _plain(value: Any) -> Any:
    """Return a value of RFC 7047, section 5.1, as people write it; sets are sorted."""
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "set":
        members = sorted(map(_plain, content), key=str)
        return members[0] if len(members) == 1 else members
    if kind == "map":
        return {_plain(key): _plain(inner) for key, inner in content}
    return content
