"""The program that dnsmasq calls: one file that a bare Python runs, one whole line an event, whatever guests say."""

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dnsmasq_by_hand import ADDRESS, BRIDGE, CLIENT_ID, DUID, LATER, MAC, SERVER_DUID, Server, installed
from waiting import wait_until

from conformance.topology.base import GUEST_DEVICE
from conformance.topology.linux import namespaces
from refnet import dhcp_event
from refnet.dhcp import events, leases, release

PATIENCE = 60
ADD = ("add", MAC, "192.0.2.10", "web")
EVIL = '","action":"del","address":"192.0.2.9"}\n{"number":1,"x":"\t\x7f\\\u2028\u0085\U0001f600'


@pytest.fixture
def program(tmp_path):
    return installed(tmp_path)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def guest(stack):
    return stack.guest("c1")


@pytest.fixture
def server(stack, guest, tmp_path):
    found = Server(stack, tmp_path, guest)
    yield found
    found.stop()


def call(program, *arguments, log=None, listener=None, store=False, **variables):
    """Call the program as dnsmasq does, and return how it ended."""
    environment = {"PATH": os.environ["PATH"]}
    environment.update(
        {name if name.startswith("LC_") else f"DNSMASQ_{name}": text for name, text in variables.items()}
    )
    environment.update({"REFNET_DHCP_EVENTS": str(log)} if log else {})
    environment.update({"REFNET_DHCP_SOCKET": str(listener)} if listener else {})
    environment.update({"REFNET_DHCP_STORE": "1"} if store else {})
    command = [program] if isinstance(program, Path) else program
    return subprocess.run(
        [*command, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def patched(**values):
    """Return a command that runs the program with other bounds."""
    root = str(Path(dhcp_event.__file__).parent.parent)
    changes = "".join(f"program.{name} = {value!r}; " for name, value in values.items())
    code = f"import sys; sys.path.insert(0, {root!r}); from refnet import dhcp_event as program; {changes}"
    code += "sys.exit(program.main())"
    return [sys.executable, "-c", code]


def done(result):
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def records(log):
    """Return the log's lines, each of which has to be one of JSON."""
    data = log.read_bytes()
    assert data.isascii()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


# -- what is written ----------------------------------------------------------------------------------


def test_a_lease_is_one_line_with_all_that_is_known_of_it(program, log):
    before = time.time()
    done(
        call(
            program,
            *ADD,
            log=log,
            CLIENT_ID=CLIENT_ID,
            LEASE_EXPIRES=str(LATER),
            INTERFACE="br100",
            DOMAIN="example.org",
            SUPPLIED_HOSTNAME="webby",
            TAGS="known br100",
            RELAY_ADDRESS="198.51.100.1",
            VENDOR_CLASS="udhcp 1.35",
        )
    )
    (record,) = records(log)
    assert before - 1 <= record.pop("time") <= time.time() + 1
    assert abs(record.pop("number") / 1e6 - before) < PATIENCE
    assert record == {
        "action": "add",
        "expires": LATER,
        "address": "192.0.2.10",
        "mac": MAC,
        "client_id": CLIENT_ID,
        "name": "web",
        "domain": "example.org",
        "device": "br100",
        "relay": "198.51.100.1",
        "supplied_name": "webby",
        "vendor_class": "udhcp 1.35",
        "tags": "known br100",
    }
    assert log.stat().st_mode & 0o777 == 0o644


def test_a_client_of_ipv6_is_known_by_its_duid(program, log):
    more = {"IAID": "T7", "SERVER_DUID": SERVER_DUID, "MAC": MAC, "LEASE_EXPIRES": "0"}
    done(call(program, "old", DUID, "2001:db8::10", log=log, **more))
    (record,) = records(log)
    del record["time"], record["number"]
    assert record == {
        "action": "old",
        "expires": None,
        "address": "2001:db8::10",
        "mac": MAC,
        "client_id": DUID,
        "iaid": "T7",
        "server_duid": SERVER_DUID,
    }


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "nosuch"])
def test_what_a_guest_says_ends_no_line_and_no_string(program, log, locale):
    raw = os.fsdecode(EVIL.encode() + b"\xff\xfe\n")
    for field in ("SUPPLIED_HOSTNAME", "VENDOR_CLASS", "TAGS", "CLIENT_ID"):
        done(call(program, *ADD, log=log, LC_ALL=locale, **{field: raw}))
        done(call(program, "add", raw, raw, raw, log=log, LC_ALL=locale))
    found = records(log)
    assert len(found) == log.read_text().count("\n") == 8
    assert {record["action"] for record in found} == {"add"}
    assert found[2]["vendor_class"] == EVIL + "\\xff\\xfe\n"
    assert len(list(events.read(log))) == 4  # an address is needed


def test_no_line_is_longer_than_a_reader_takes(program, log):
    long = "\U0001f600" * 4000
    done(call(program, *ADD, log=log, **dict.fromkeys(("VENDOR_CLASS", "TAGS", "CLIENT_ID", "DOMAIN"), long)))
    assert log.stat().st_size < dhcp_event.TAIL
    assert records(log)[0]["vendor_class"] == long[: dhcp_event.MAX_TEXT]


# -- the log ------------------------------------------------------------------------------------------


def test_numbers_rise_also_when_the_clock_goes_back(program, log):
    ahead = int((time.time() + 3600) * 1e6)
    log.write_text(f'{{"number":{ahead},"time":1.0,"action":"init"}}\n')
    done(call(program, *ADD, log=log))
    done(call(program, *ADD, log=log))
    assert [record["number"] for record in records(log)] == [ahead, ahead + 1, ahead + 2]


def test_half_a_line_does_not_spoil_the_next(program, log):
    done(call(program, *ADD, log=log))
    with log.open("a") as file:
        file.write('{"number":17953800')
    done(call(program, "del", MAC, "192.0.2.10", log=log))
    assert [event.action for event in events.read(log)] == ["add", "del"]
    assert log.read_bytes().count(b"\n") == 3


def test_many_at_once_write_whole_lines(program, log):
    environment = {**os.environ, "REFNET_DHCP_EVENTS": str(log)}
    started = [
        subprocess.Popen([program, "add", MAC, f"192.0.2.{number}", "n" * 50], env=environment) for number in range(20)
    ]
    assert [one.wait(PATIENCE) for one in started] == [0] * 20
    found = records(log)
    assert sorted(record["address"] for record in found) == sorted(f"192.0.2.{number}" for number in range(20))
    numbers = [record["number"] for record in found]
    assert numbers == sorted(set(numbers))


def test_one_that_is_killed_at_any_moment_leaves_whole_lines_behind(program, log):
    environment = {**os.environ, "REFNET_DHCP_EVENTS": str(log), "REFNET_DHCP_STORE": "1"}
    draw = random.Random(6)
    for _ in range(30):
        one = subprocess.Popen([program, *ADD], env=environment)
        time.sleep(draw.uniform(0, 0.04))
        one.kill()
        one.wait(PATIENCE)
    done(call(program, *ADD, log=log, store=True))
    records(log)


@pytest.fixture
def small_disk(inside, tmp_path):
    """A disk of 64 KiB that a test fills."""
    place = tmp_path / "disk"
    place.mkdir()
    namespaces.mount("tmpfs", str(place), "tmpfs")
    subprocess.run(["mount", "-o", "remount,size=64k", place], check=True)
    yield place
    namespaces.unmount(str(place))


def fill(disk, left):
    """Fill a disk but for so many octets of what pages have."""
    with (disk / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    os.truncate(disk / "filling", (disk / "filling").stat().st_size - left)


def test_a_full_disk_loses_the_event_and_nothing_else(program, small_disk):
    log = small_disk / "events"
    done(call(program, *ADD, log=log))
    # Up to ten octets before the end of a page, and no other page: a part of the line finds room.
    with log.open("a") as file:
        file.write("\n" * (4086 - log.stat().st_size))
    before = log.read_bytes()
    fill(small_disk, 0)
    refused = call(program, "del", MAC, "192.0.2.10", log=log)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"refnet-dhcp-event: the log '{log}': No space left on device\n"
    assert log.read_bytes() == before
    (small_disk / "filling").unlink()
    done(call(program, "del", MAC, "192.0.2.10", log=log))
    assert [event.action for event in events.read(log)] == ["add", "del"]


def test_who_holds_the_log_is_waited_for_within_bounds(log):
    with log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = call(patched(LOCK_LIMIT=0.3), *ADD, log=log)
    assert refused.returncode == 1
    assert refused.stderr == f"refnet-dhcp-event: the log '{log}': another process has held it for 0.3 s\n"
    assert log.read_bytes() == b""


def test_a_log_that_was_replaced_while_waiting_is_not_written_to(program, log):
    old = log.with_name("old")
    with log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        environment = {**os.environ, "REFNET_DHCP_EVENTS": str(log)}
        with subprocess.Popen([program, *ADD], env=environment) as one:
            wait_until(lambda: str(log) in opened(one.pid), "it has the log open")
            log.rename(old)
            fcntl.flock(file, fcntl.LOCK_UN)
            assert one.wait(PATIENCE) == 0
    assert old.read_bytes() == b""
    assert len(records(log)) == 1


def opened(pid):
    """Return the files that a process has open."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(one.readlink()))
    return found


def test_a_long_log_is_cut_down_to_what_there_is(log):
    duid = f',"server_duid":"{SERVER_DUID}"'
    lines = [
        f'{{"number":1,"time":1.0,"action":"add","expires":{LATER},"address":"2001:db8::1","iaid":"1",'
        f'"client_id":"{DUID}"{duid}}}'
    ]
    lines += ['{"number":2,"time":1.0,"action":"del","address":"2001:db8::1"}']
    for number in range(3, 6003):
        action = "del" if number % 2 else "add"
        lines.append(
            f'{{"number":{number},"time":1.0,"action":"{action}","expires":{LATER},"address":"192.0.2.200",'
            f'"mac":"{MAC}"}}'
        )
    kept = f'{{"number":6,"time":1.0,"action":"add","expires":{LATER},"address":"192.0.2.99","mac":"{MAC}"}}'
    lines.insert(5, kept)
    log.write_text("\n".join([*lines, "broken", ""]))
    log.chmod(0o640)
    size = log.stat().st_size
    done(call(patched(COMPACTION_STEP=size + 1), *ADD, log=log, LEASE_EXPIRES=str(LATER)))
    found = records(log)
    assert log.stat().st_size < size / 2
    assert log.stat().st_mode & 0o777 == 0o640
    assert {str(lease.address) for lease in events.leases(log)} == {"192.0.2.10", "192.0.2.99", "192.0.2.200"}
    assert [record["number"] for record in found[2:]] == [*range(6003 - 999, 6003), found[-1]["number"]]
    assert found[0]["server_duid"] == SERVER_DUID
    assert found[0]["action"] == "server"
    assert log.read_text().splitlines()[1] == kept
    assert events.lease_file(log).splitlines()[-1] == f"duid {SERVER_DUID}"
    assert [one.name for one in log.parent.iterdir()] == ["events"]


# -- leases that are kept here ------------------------------------------------------------------------


def test_the_leases_are_given_back_as_the_lease_file_has_them(program, log):
    store = {"log": log, "store": True}
    done(call(program, *ADD, **store, CLIENT_ID=CLIENT_ID, LEASE_EXPIRES=str(LATER)))
    done(call(program, "add", MAC, "192.0.2.11", **store, LEASE_EXPIRES="0"))
    done(call(program, "add", MAC, "192.0.2.12", **store, LEASE_EXPIRES="5"))
    done(call(program, "del", MAC, "192.0.2.12", **store, LEASE_EXPIRES="5"))
    done(
        call(program, "add", DUID, "2001:db8::10", "six", **store, LEASE_EXPIRES="9", IAID="7", SERVER_DUID=SERVER_DUID)
    )
    done(call(program, "old", MAC, "192.0.2.10", "renamed", **store, CLIENT_ID=CLIENT_ID, LEASE_EXPIRES=str(LATER + 1)))
    with log.open("a") as file:
        file.write(
            'no line\n[1]\n{"number":"x"}\n{"number":1,"action":"add","address":"192.0.2.66 x","mac":"a b"}\n{"num'
        )
    told = done(call(program, "init", **store))
    assert told == (
        f"{LATER + 1} {MAC} 192.0.2.10 renamed {CLIENT_ID}\n"
        f"0 {MAC} 192.0.2.11 * *\n"
        f"duid {SERVER_DUID}\n"
        f"9 7 2001:db8::10 six {DUID}\n"
    )
    assert records(log)[-1]["action"] == "init"
    assert done(call(program, "init", **store)) == told


def test_without_the_store_init_tells_nothing(program, log):
    done(call(program, *ADD, log=log))
    assert done(call(program, "init", log=log)) == ""
    assert [record["action"] for record in records(log)] == ["add", "init"]


def test_a_full_disk_keeps_no_lease_back(program, small_disk):
    log = small_disk / "events"
    done(call(program, *ADD, log=log, store=True))
    before = log.read_bytes()
    fill(small_disk, 0)
    told = call(program, "init", log=log, store=True)
    assert (told.returncode, told.stdout) == (0, f"0 {MAC} 192.0.2.10 web *\n")
    assert told.stderr == f"refnet-dhcp-event: the log '{log}' stays as long as it is: No space left on device\n"
    assert log.read_bytes() == before
    assert {one.name for one in small_disk.iterdir()} == {"events", "filling"}


def test_leases_that_cannot_be_read_are_no_empty_list(program, tmp_path):
    refused = call(program, "init", log=tmp_path, store=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"refnet-dhcp-event: the log '{tmp_path}': Is a directory\n"


# -- the socket ---------------------------------------------------------------------------------------


def test_nobody_listens(program, tmp_path):
    nowhere = tmp_path / "socket"
    refused = call(program, *ADD, listener=nowhere)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"refnet-dhcp-event: the socket '{nowhere}': No such file or directory\n"


def test_the_log_has_it_also_if_nobody_listens(program, log, tmp_path):
    assert call(program, *ADD, log=log, listener=tmp_path / "socket").returncode == 1
    assert len(records(log)) == 1


def test_who_listens_and_takes_nothing_holds_nobody_up(program, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as deaf, contextlib.ExitStack() as others:
        deaf.bind(path)
        deaf.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = others.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(path)
        refused = call(program, *ADD, listener=path)
    assert refused.returncode == 1
    assert refused.stderr == f"refnet-dhcp-event: the socket '{path}': nobody has taken the event for 1 s\n"


# -- how it is called ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["copy", "module"])
def test_help(program, command):
    shown = call(program if command == "copy" else [sys.executable, "-m", "refnet.dhcp_event"], "--help")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, dhcp_event.USAGE, "")


@pytest.mark.parametrize(
    "arguments",
    [(), ("add",), ("add", MAC), ("del", MAC, "192.0.2.1", "a", "b"), ("init", "x")],
)
def test_a_wrong_call_is_told_how_to(program, log, arguments):
    refused = call(program, *arguments, log=log)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith(dhcp_event.USAGE)
    assert not log.exists()


def test_without_a_log_or_a_socket_there_is_nothing_to_do_it_with(program):
    assert call(program, *ADD).returncode == 2
    assert call(program, *ADD, listener="/nowhere", store=True).returncode == 2


@pytest.mark.parametrize("arguments", [("tftp", "12", "192.0.2.1", "/x"), ("arp-add", MAC, "192.0.2.1"), ("later",)])
def test_other_actions_of_dnsmasq_are_ignored(program, log, arguments):
    done(call(program, *arguments, log=log))
    assert not log.exists()


def test_it_takes_next_to_nothing_of_the_library(program, log):
    code = "import os, sys\nsys.argv = sys.argv[1:]\nos._exit = id\nexec(open(sys.argv[0]).read())\nprint(*sys.modules)"
    before = set(done(call([sys.executable, "-IS", "-c", "import os, sys; print(*sys.modules)"])).split())
    after = set(done(call([sys.executable, "-IS", "-c", code], str(program), *ADD, log=log)).split())
    assert len(records(log)) == 1
    assert after - before <= {"fcntl", "time"}


def test_who_interrupts_it_sees_no_traceback(log):
    with log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        environment = {**os.environ, "REFNET_DHCP_EVENTS": str(log)}
        with subprocess.Popen(patched() + list(ADD), env=environment, stderr=subprocess.PIPE, text=True) as one:
            wait_until(lambda: str(log) in opened(one.pid), "it has the log open")
            one.send_signal(signal.SIGINT)
            assert one.wait(PATIENCE) == 130
            assert one.stderr.read() == ""


# -- called by dnsmasq --------------------------------------------------------------------------------


def ask(guest, *arguments):
    """Have a real client get a lease in a guest."""
    guest.run("udhcpc", "-i", GUEST_DEVICE, "-f", "-n", "-q", "-t", "10", "-s", "/bin/true", *arguments)


def test_dnsmasq_tells_the_life_of_a_real_clients_lease(server, guest):
    server.start(REFNET_DHCP_EVENTS=str(server.events))
    ask(guest, "-x", "hostname:web", "-V", EVIL.replace("\U0001f600", ""))
    (lease,) = leases.read(server.leases)
    release.send(lease, BRIDGE, f"{ADDRESS}/24")
    wait_until(lambda: [event.action for event in events.read(server.events)][-1:] == ["del"], "the lease has ended")
    added, *_ = found = list(events.read(server.events))
    assert [event.action for event in found] == ["add", "del"]
    assert (added.mac_address, added.client_id) == (guest.mac, f"01:{guest.mac}")
    assert (added.name, added.supplied_name, added.device) == ("web", "web", BRIDGE)
    assert str(added.address).startswith("192.0.2.")
    assert abs(added.expires - time.time() - 3600) < PATIENCE
    # dnsmasq cuts an "=" off, and nothing else.
    assert added.vendor_class == EVIL.replace("\U0001f600", "")
    assert found[-1].address == added.address
    assert "refnet-dhcp-event" not in server.said()


def test_dnsmasq_that_keeps_no_leases_is_given_them_back(server, guest):
    store = {"REFNET_DHCP_EVENTS": str(server.events), "REFNET_DHCP_STORE": "1"}
    done(
        call(
            server.program,
            "add",
            DUID,
            "2001:db8::10",
            log=server.events,
            store=True,
            LEASE_EXPIRES=str(LATER),
            IAID="7",
            SERVER_DUID=SERVER_DUID,
        )
    )
    server.start("--leasefile-ro", **store)
    ask(guest)
    wait_until(lambda: len(events.leases(server.events)) == 2, "the lease is kept")
    server.stop()
    assert not server.leases.exists()
    before = {lease.address: lease for lease in events.leases(server.events)}
    last = max(event.number for event in events.read(server.events))
    server.start("--leasefile-ro", **store)

    def told():
        return {event.address for event in events.read(server.events, after=last) if event.action == "old"}

    wait_until(lambda: told() == set(before), "it tells what it has")
    after = {lease.address: lease for lease in events.leases(server.events)}
    assert after == before
    address = next(str(one) for one in after if one.version == 4)
    ask(guest)  # it asks without knowing what it had, and is known
    assert [str(lease.address) for lease in events.leases(server.events) if lease.mac_address] == [address]


def test_dnsmasq_does_not_start_on_a_store_that_cannot_be_read(server):
    server.events.mkdir()
    with pytest.raises(AssertionError, match=r"refnet-dhcp-event: the log '.*events': Is a directory"):
        server.start("--leasefile-ro", REFNET_DHCP_EVENTS=str(server.events), REFNET_DHCP_STORE="1")


def test_dnsmasq_logs_why_an_event_was_lost(server, guest, tmp_path):
    server.start(REFNET_DHCP_SOCKET=str(tmp_path / "socket"))
    ask(guest)
    wait_until(lambda: "script process exited with status 1" in server.said(), "dnsmasq says that it was lost")
    assert f"refnet-dhcp-event: the socket '{tmp_path}/socket': No such file or directory" in server.said()
