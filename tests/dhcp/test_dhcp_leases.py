"""The parser of dnsmasq's lease file: pure, but for files of a test's own."""

from __future__ import annotations

import ipaddress
import logging
import os
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refnet.dhcp import leases
from refnet.dhcp.leases import Lease
from refnet.errors import KernelRefused

#: As dnsmasq 2.90 has written it on a network with IPv4 and IPv6.
FILE = """\
1790000000 52:54:00:12:34:56 192.0.2.100 web 01:52:54:00:12:34:56
1790000060 52:54:00:AB:CD:EF 192.0.2.101 * *
0 06-52:54:00:00:00:03 192.0.2.102 * ff:00:00:00:03
1790000060 20- 192.0.2.103 * 00:01
1790000060 20-80:00:00:48:fe:80:00:00 192.0.2.104 ib *
duid 00:01:00:01:2A:30:11:22:52:54:00:00:00:01
1790000000 305419896 2001:db8::100 web 00:03:00:01:52:54:00:12:34:56
1790000000 T7 2001:db8::101 * 00:03:00:01:52:54:00:12:34:56
0 4294967295 2001:db8::102 * *
"""
LEASES = (
    Lease(ipaddress.ip_address("192.0.2.100"), "52:54:00:12:34:56", "01:52:54:00:12:34:56", "web", 1790000000.0),
    Lease(ipaddress.ip_address("192.0.2.101"), "52:54:00:ab:cd:ef", None, None, 1790000060.0),
    Lease(ipaddress.ip_address("192.0.2.102"), "52:54:00:00:00:03", "ff:00:00:00:03", None, None),
    Lease(ipaddress.ip_address("192.0.2.103"), None, "00:01", None, 1790000060.0),
    Lease(ipaddress.ip_address("192.0.2.104"), None, None, "ib", 1790000060.0),
    Lease(ipaddress.ip_address("2001:db8::100"), None, "00:03:00:01:52:54:00:12:34:56", "web", 1790000000.0, 305419896),
    Lease(ipaddress.ip_address("2001:db8::101"), None, "00:03:00:01:52:54:00:12:34:56", None, 1790000000.0, 7, True),
    Lease(ipaddress.ip_address("2001:db8::102"), None, None, None, None, 4294967295),
)
LINE = "1790000000 52:54:00:00:00:01 192.0.2.1 one 01:52:54:00:00:00:01\n"
BAD = [
    "1790000000",
    "1790000000 52:54:00:12:34:56",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web 01:02 more",
    "x 52:54:00:12:34:56 192.0.2.100 web *",
    "-1 52:54:00:12:34:56 192.0.2.100 web *",
    "99999999999999999999 52:54:00:12:34:56 192.0.2.100 web *",
    "1790000000 52:54:00:12:34 192.0.2.100 web *",
    "1790000000 52:54:00:12:34:5 192.0.2.100 web *",
    "1790000000 * 192.0.2.100 web *",
    "1790000000 305419896 192.0.2.100 web *",
    "1790000000 52:54:00:12:34:56 192.0.2.256 web *",
    "1790000000 52:54:00:12:34:56 192.0.2 web *",
    "1790000000 52:54:00:12:34:56 0xc0000201 web *",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web 1",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web 01:",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web :01",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web 01:2",
    "1790000000 52:54:00:12:34:56 192.0.2.100 web " + "01:" * 255 + "01",
    "1790000000 52:54:00:12:34:56 192.0.2.100 " + "w" * 256 + " *",
    "1790000000 52:54:00:12:34:56 192.0.2.100 we\x00b *",
    "1790000000 52:54:00:12:34:56 192.0.2.100 wéb *",
    "1790000000 52:54:00:12:34:56 2001:db8::1 web *",
    "1790000000 4294967296 2001:db8::1 web *",
    "1790000000 X7 2001:db8::1 web *",
    "1790000000 7 2001:db8:::1 web *",
    "1790000000 7 2001:db8::%1 web *",
    "1790000000\t7\x0b2001:db8::1 web *",
    "duid",
    "duid 1",
    "duid zz:zz",
    "duid " + "00:" * 130 + "00",
    "w" * 100_000,
    "\x00" * 300,
    "\xff\xfe\x85\x1c\x1d\x1e\u2028",
]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "refnet.dhcp.leases")
    return lambda: [record.getMessage() for record in caplog.records]


def test_lines_of_every_kind(warnings: Callable[[], list[str]]) -> None:
    assert leases.parse(FILE) == LEASES == leases.parse(FILE.encode())
    assert leases.server_duid(FILE) == "00:01:00:01:2a:30:11:22:52:54:00:00:00:01" == leases.server_duid(FILE.encode())
    assert leases.parse("") == leases.parse("\n \n\n") == ()
    assert warnings() == []


def test_there_is_no_duid() -> None:
    for text in ("", LINE, "duid\n", "duid zz:zz\n", "duid 00:01", "duid 00:01:02:0"):
        assert leases.server_duid(text) is None, text


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_line_costs_no_other_lease(bad: str, warnings: Callable[[], list[str]]) -> None:
    text = LINE + bad + "\n" + FILE
    expected = leases.parse(LINE) + LEASES
    assert leases.parse(text, "the file") == expected
    said = warnings()
    assert len(said) == 1
    assert said[0].startswith("the file: line 2 cannot be read, and is left out: ")
    assert len(said[0]) < 400
    assert leases.parse(text.encode("utf-8", "replace")) == expected
    assert leases.server_duid(text) == "00:01:00:01:2a:30:11:22:52:54:00:00:00:01"


def test_a_last_line_without_its_end_is_none(warnings: Callable[[], list[str]]) -> None:
    # The identifier could go on.
    assert leases.parse(LINE + LINE[:-1]) == leases.parse(LINE)
    assert len(warnings()) == 1
    assert "its last line is cut off" in warnings()[0]


def test_carriage_returns_are_not_dnsmasqs(warnings: Callable[[], list[str]]) -> None:
    assert leases.parse(LINE.replace("\n", "\r\n")) == ()
    assert len(warnings()) == 1


# -- files ------------------------------------------------------------------------------------------------


def test_no_file_means_no_leases(tmp_path: Path) -> None:
    assert leases.read(tmp_path / "none") == ()
    assert leases.read(tmp_path / "no" / "directory") == ()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(KernelRefused, match="cannot be read") as raised:
        leases.read(tmp_path)
    assert raised.value.errno


def test_a_file_of_others_is_said(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    path.write_text(FILE)
    path.chmod(0)
    # A file without permissions, and a process that has no capability to read it all the same.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    program = (
        "import sys; from refnet.dhcp import leases; from refnet.errors import PermissionDenied\n"
        "try: leases.read(sys.argv[1])\n"
        "except PermissionDenied as error: print(error)"
    )
    done = subprocess.run([*powerless, sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert f"the lease file {path} cannot be read: it takes root, or the server's user [EACCES" in done.stdout


def test_expired_leases_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    path.write_text(FILE)
    assert leases.read(path, now=0) == LEASES
    assert leases.read(path, now=1789999999.5) == LEASES
    assert leases.read(path, now=1790000000) == tuple(one for one in LEASES if one.expires != 1790000000)
    assert [str(one.address) for one in leases.read(path, now=2e9)] == ["192.0.2.102", "2001:db8::102"]
    path.write_text(
        f"{int(time.time()) + 1000} 52:54:00:00:00:01 192.0.2.1 on *\n1000 52:54:00:00:00:02 192.0.2.2 * *\n"
    )
    assert [one.name for one in leases.read(path)] == ["on"]


_watched: dict[str, Callable[[], None]] = {}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Hooks stay for the life of the process: this one does something only while a test has put its file there.
    if event == "open" and _watched:
        step = _watched.get(str(arguments[0]))
        if step:
            step()


sys.addaudithook(_hook)


@pytest.fixture
def rewritten(tmp_path: Path) -> Iterator[Callable[[list[str]], tuple[Path, list[int]]]]:
    """A file that has other contents each time that it is opened; the last stay. Its age never says that it is whole.

    The age is one that has not come yet.
    """

    def prepare(contents: list[str]) -> tuple[Path, list[int]]:
        path, opened = tmp_path / "leases", [0]
        path.write_text("")

        def step() -> None:
            number = min(opened[0], len(contents) - 1)
            opened[0] += 1
            _watched.clear()
            path.write_text(contents[number])
            os.utime(path, (2e10, 2e10))
            _watched[str(path)] = step

        _watched[str(path)] = step
        return path, opened

    yield prepare
    _watched.clear()


#: As much of a longer file as dnsmasq writes at once, or more of it: without the end of a line, and with it.
LONG = FILE + "".join(LINE.replace("192.0.2.1 ", f"10.0.{one}.1 ") for one in range(90))
BLOCK = LONG[:4096]
EVEN = BLOCK[: BLOCK.rindex("\n")].ljust(4095) + "\n"


@pytest.mark.parametrize(
    "contents",
    [
        ["", "", LONG],
        ["", "", "", "", "", LONG],
        [BLOCK, BLOCK, LONG],
        [EVEN, EVEN, EVEN, LONG],
        [FILE[:70], FILE[:70], LONG],
        # Cut where a line ends: seen by what comes next.
        [FILE[: FILE.index("\n") + 1], LONG],
        [FILE + LINE, "", FILE[:100], LONG],
    ],
)
def test_a_file_that_is_being_written_is_read_until_it_is_whole(
    contents: list[str], rewritten: Callable[[list[str]], tuple[Path, list[int]]], warnings: Callable[[], list[str]]
) -> None:
    path, opened = rewritten(contents)
    assert leases.read(path, now=0) == leases.parse(LONG)
    assert opened[0] == len(contents) + 1
    assert warnings() == []


def test_a_file_that_changes_all_the_time_is_read_all_the_same(
    rewritten: Callable[[list[str]], tuple[Path, list[int]]],
) -> None:
    path, _ = rewritten([f"{FILE}{number + 1}{LINE[10:]}" for number in range(10_000)])
    assert leases.read(path, now=10**8) == LEASES


def test_a_file_that_never_is_whole_is_given_up_with_the_most_that_was_seen(
    rewritten: Callable[[list[str]], tuple[Path, list[int]]],
) -> None:
    path, _ = rewritten(["", FILE + "1790", FILE[:50]] * 10_000)
    assert leases.read(path, now=0) == LEASES


def test_an_empty_file_is_empty_after_a_while(rewritten: Callable[[list[str]], tuple[Path, list[int]]]) -> None:
    path, _ = rewritten([""])
    assert leases.read(path) == ()


def test_an_old_file_is_read_once(rewritten: Callable[[list[str]], tuple[Path, list[int]]], tmp_path: Path) -> None:
    path, opened = rewritten([FILE])
    again = _watched[str(path)]

    def aged() -> None:
        again()
        os.utime(path, (1e9, 1e9))

    _watched[str(path)] = aged
    assert leases.read(path, now=0) == LEASES
    assert opened[0] == 1


# -- any text ---------------------------------------------------------------------------------------------

_OCTETS = st.binary(min_size=1, max_size=20).map(lambda one: one.hex(":"))
_TEXT_NAMES = st.none() | st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=20)
_EXPIRES = st.none() | st.integers(1, 2**33).map(float)
_V4 = st.builds(
    Lease,
    st.ip_addresses(v=4),
    st.none() | st.binary(min_size=6, max_size=6).map(lambda one: one.hex(":")),
    st.none() | _OCTETS,
    _TEXT_NAMES,
    _EXPIRES,
    st.none(),
    st.just(False),
)
_V6 = st.builds(
    Lease,
    st.ip_addresses(v=6),
    st.none(),
    st.none() | _OCTETS,
    _TEXT_NAMES,
    _EXPIRES,
    st.integers(0, 2**32 - 1),
    st.booleans(),
)


def _line(lease: Lease) -> str:
    """As lease.c writes it."""
    who = lease.mac_address or "20-" if lease.iaid is None else f"{'T' if lease.is_temporary else ''}{lease.iaid}"
    return f"{int(lease.expires or 0)} {who} {lease.address} {lease.name or '*'} {lease.client_id or '*'}\n"


@given(st.lists(_V4 | _V6, max_size=20), st.lists(st.text(max_size=40), max_size=5))
def test_leases_come_back_out_of_any_rubbish(found: list[Lease], rubbish: list[str]) -> None:
    lines = [_line(one) for one in found]
    for number, one in enumerate(rubbish):
        lines.insert(number * 2, f"#{one}".replace("\n", " ") + "\n")
    assert leases.parse("".join(lines)) == tuple(found)


@given(st.binary(max_size=300) | st.lists(st.sampled_from([*FILE.split(" "), "\n", " ", "\x00"])).map(" ".join))
def test_any_octets_are_survived(data: bytes | str) -> None:
    for one in leases.parse(data):
        assert isinstance(one, Lease)
        assert leases.parse(_line(one)) == (one,)
    leases.server_duid(data)


def test_a_lease_that_ends_after_the_year_9999_is_none() -> None:
    line = "{} 02:00:00:00:00:11 192.0.2.10 web *\n"
    assert [one.expires for one in leases.parse(line.format(253402300799))] == [253402300799.0]
    assert leases.parse(line.format(253402300800)) == ()
    assert leases.parse(line.format(10**18)) == ()


def test_an_empty_file_that_is_older_than_its_server_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases.time, "sleep", lambda seconds: pytest.fail("it waits"))
    path = tmp_path / "leases"
    path.touch()
    assert leases.read(path, started=path.stat().st_mtime + 0.01) == ()
