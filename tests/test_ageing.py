"""What a leap of the clock is made of: every time in a directory's files, and nothing else."""

import os
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from conformance.topology.dhcp.ageing import age, aged

NOW = 1_800_000_000
LEASES = b"""\
1800003600 02:00:00:00:00:0a 10.9.0.100 web 01:02:00:00:00:00:0a
0 02:00:00:00:00:0b 10.9.0.101 * *
duid 00:01:00:01:2c:1234567890:aa
1800007200 1234567 fd09::100 * 00:03:00:01:02:00:00:00:00:0a
"""
EVENTS = b'{"when": 1800000000.25, "expires": 1800003600, "serial": 4242424242, "mac": "12:34:56:78:90:12"}\n'


def test_times_of_leases_are_moved_and_nothing_else():
    found, count = aged(LEASES, 1000, NOW)
    assert count == 2
    assert found == LEASES.replace(b"1800003600", b"1800002600").replace(b"1800007200", b"1800006200")


def test_times_of_json_are_moved():
    found, count = aged(EVENTS, -86400, NOW)
    assert count == 2
    assert found == EVENTS.replace(b"1800000000.25", b"1800086400.25").replace(b"1800003600", b"1800090000")


@pytest.mark.parametrize("text", [b"18000000001", b"x1800000000", b"1800000000a", b"fe80::1800000000", b"0.1800000000"])
def test_what_is_no_time_of_its_own_stays(text):
    assert aged(text, 10, NOW) == (text, 0)


@pytest.mark.parametrize("when", [NOW + 11 * 365 * 86400, NOW - 11 * 365 * 86400])
def test_what_is_far_from_now_is_no_time(when):
    assert aged(b"%d" % when, 10, NOW)[1] == 0


@given(seconds=some.integers(-(10**6), 10**6), when=some.integers(NOW - 10**7, NOW + 10**7))
def test_there_and_back_is_as_it_was(seconds, when):
    text = b"%d 02:00:00:00:00:0a\n" % when
    assert aged(aged(text, seconds, NOW)[0], -seconds, NOW)[0] == text


def test_files_are_replaced_with_the_mode_that_they_had(tmp_path):
    now = int(time.time())
    below = tmp_path / "br0"
    below.mkdir()
    leases, binary = below / "leases", below / "binary"
    leases.write_bytes(b"%d 02:00:00:00:00:0a 10.9.0.1 * *\n" % (now + 600))
    binary.write_bytes(b"%d\0" % now)
    leases.chmod(0o640)
    old = leases.open("rb")
    (below / "link").symlink_to(leases)
    assert age(tmp_path, 600.4) == 1
    assert leases.read_bytes() == b"%d 02:00:00:00:00:0a 10.9.0.1 * *\n" % now
    assert stat.S_IMODE(leases.stat().st_mode) == 0o640
    assert binary.read_bytes() == b"%d\0" % now
    with old:
        assert old.read().startswith(b"%d" % (now + 600)), "who reads it meanwhile reads one or the other"
    assert sorted(os.listdir(below)) == ["binary", "leases", "link"]


def test_nothing_to_move_fails_the_spec(tmp_path):
    (tmp_path / "leases").write_text("duid 00:01\n")
    with pytest.raises(AssertionError, match="nothing has grown older"):
        age(tmp_path, 5)
