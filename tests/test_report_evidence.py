"""Evidence on the page: captures as tables of frames, texts up to a limit, and nothing but files of the report."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from report_documents import SCRIPT, Page, of_manifest, write_evidence
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from conformance.report import capture, evidence, html
from conformance.topology import frames

A, B = "02:da:cd:1f:22:b4", "02:da:cd:90:01:0b"


def captured(path: Path, *datas: bytes, link_type: int = 1) -> Path:
    """Write a capture in the suite's own format, a frame a millisecond."""
    data = frames.pcap(frames.Captured(1000 + number / 1000, False, one) for number, one in enumerate(datas))
    path.write_bytes(data[:20] + struct.pack("<I", link_type) + data[24:])
    return path


# -- captures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (frames.build(A, B, b"token").data, "type 0x88b5, 64 bytes"),
        (frames.build(A, B, b"token", vlan=5).data, "VLAN 5 / type 0x88b5, 64 bytes"),
        (bytes(Ether(src=A, dst=B) / Dot1Q(vlan=7, prio=3) / Dot1Q(vlan=5) / IP(src="10.0.0.1", dst="10.0.0.2") /
               ICMP()),
         "VLAN 7 priority 3 / VLAN 5 / IP / ICMP 10.0.0.1 > 10.0.0.2 echo-request"),
        (bytes(Ether(src=A, dst=B) / ARP(psrc="10.0.0.1", pdst="10.0.0.2")), "ARP who has 10.0.0.2 says 10.0.0.1"),
        (bytes(Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40000, dport=80) / b"x"),
         "IP / TCP 10.0.0.1:40000 > 10.0.0.2:80 S"),
        (bytes(Ether(src=A, dst=B) / IPv6(src="fe80::1", dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="fe80::2")),
         "Neighbor Solicitation (tgt: fe80::2)"),
    ],
)  # fmt: skip
def test_a_frame_is_a_row(tmp_path: Path, frame: bytes, words: str) -> None:
    found = capture.decode(captured(tmp_path / "a.pcap", frame))
    (row,) = found.rows
    assert (row.source, row.destination, row.size, row.when) == (A, B, len(frame), 1000.0)
    assert words in row.summary
    assert (found.total, found.note) == (1, "")


def test_bytes_are_dumped_as_people_read_them() -> None:
    lines = capture.dump(bytes(range(0x20, 0x32))).splitlines()
    assert lines[0] == "0000  20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./"
    assert lines[1].split() == ["0010", "30", "31", "01"]
    assert len(lines[1]) == len("0010  ") + 47 + 2 + 2


def test_of_many_frames_the_first_are_decoded_and_all_are_counted(tmp_path: Path) -> None:
    found = capture.decode(captured(tmp_path / "a.pcap", *[b"x" * 60] * 500), limit=7)
    assert (len(found.rows), found.total, found.note) == (7, 500, "")


@pytest.mark.parametrize(
    ("length", "rows", "note"),
    [
        (0, 0, "it is empty"),
        (10, 0, "it ends within its header"),
        (24, 0, ""),
        (30, 0, "6 bytes at its end are no whole frame"),
        (60, 1, "its last frame is cut short: 58 bytes of it are missing"),
        (24 + 94 + 4, 1, "4 bytes at its end are no whole frame"),
    ],
)
def test_what_can_be_read_of_a_broken_capture_is_shown(tmp_path: Path, length: int, rows: int, note: str) -> None:
    path = captured(tmp_path / "a.pcap", *[frames.build(A, B, b"token").data] * 2)
    path.write_bytes(path.read_bytes()[:length])
    found = capture.decode(path)
    assert (len(found.rows), found.note) == (rows, note)


def test_what_is_no_capture_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"#!/bin/sh" * 20)
    assert capture.decode(path).note == "it is no pcap file"
    assert "No such file" in capture.decode(tmp_path / "none.pcap").note
    found = capture.decode(captured(path, b"x" * 60, link_type=99))
    assert (found.rows[0].summary, found.note) == ("60 bytes", "frames of link type 99 are not decoded")


def test_no_bytes_whatever_make_it_fail(tmp_path: Path) -> None:
    frame = bytes(Ether(src=A, dst=B) / Dot1Q(vlan=5) / IPv6() / ICMPv6ND_NS(tgt="fe80::2"))
    path = captured(tmp_path / "a.pcap", frame, bytes(Ether() / IP() / TCP(options=[("MSS", 1460)])))
    good = path.read_bytes()
    chance = random.Random(3)
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 12)):
            bad[chance.randrange(4, len(bad))] = chance.randrange(256)
        path.write_bytes(bad)
        found = capture.decode(path)
        assert all(len(capture.dump(row.data)) >= 0 and isinstance(row.summary, str) for row in found.rows)


def test_decoding_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    path = captured(tmp_path / "a.pcap", b"x" * 60)
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, pathlib; from conformance.report import capture; print(capture.decode(pathlib.Path(sys.argv[1])))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**environment, "HOME": str(home)}, capture_output=True, text=True
    )
    assert "Capture(rows=(Row(" in done.stdout
    assert done.stderr == ""
    assert list(home.iterdir()) == []


# -- on the page ------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(html.render(of_manifest({"BR-04": "failed"}, directory=tmp_path), tmp_path))


def test_the_frames_of_all_endpoints_are_one_table_in_the_order_of_time(tmp_path: Path) -> None:
    found = evidence.Reader(tmp_path).read(write_evidence(tmp_path, "BR-04"))
    assert [frame.at for frame in found.frames] == ["b", "a", "c", "a", "b", "a"]
    afters = [frame.after for frame in found.frames]
    assert afters[0] == 0
    assert afters == sorted(afters)
    assert found.frames[-1].dump.endswith("… and 458 bytes more")
    assert found.notes == []


def test_a_failure_has_its_evidence_on_the_page(page: Page) -> None:
    assert "02:da:cd:90:01:0b" in page.text("td")
    assert "VLAN 5 / type 0x88b5, 64 bytes" in page.text("td")
    assert "0000 ff ff ff ff ff ff 02 da cd 90 01 0b 88 b5" in page.text("pre")
    assert "ether type 0x88b5 counter packets 3 bytes 234 drop" in page.text("pre")
    assert "nft list ruleset, 6 lines" in page.text("summary")
    assert page.texts["ins"] == ["+link br0.ageing_time 6000", "+link tap7 is new"]
    assert page.texts["del"] == ["-link br0.ageing_time 30000"]
    # Of a log the end is shown, without carriage returns.
    assert "the last 200 of 900 lines" in page.text("summary")
    assert "[ 8.990000] a line of the kernel" in page.text("pre")
    assert "6.990000" not in page.text("pre")
    assert r"\r" not in page.text("pre")
    # The calls are a list of their own.
    assert "calls.txt" not in page.text("summary")
    assert {"./evidence/BR-04/calls.txt", "./evidence/BR-04/a.pcap"} <= set(page.values("href"))


def test_evidence_has_no_power_over_the_page(tmp_path: Path) -> None:
    document = of_manifest({"BR-04": "failed"}, directory=tmp_path)
    shape = [tag for tag, _ in Page(html.render(document, tmp_path)).elements]
    attack = f"</pre></details>{SCRIPT}\x1b[31m\x00\u202e"
    for name in ("links.txt", "rules.txt"):
        path = tmp_path / "evidence/BR-04" / name
        path.write_text("\n".join(line + attack for line in path.read_text().split("\n")))
    captured(tmp_path / "evidence/BR-04/a.pcap", *[SCRIPT.encode() * 3] * 3)
    text = html.render(document, tmp_path)
    assert SCRIPT not in text
    assert r"\x1b[31m\x00\u202e" in text
    assert all(character.isprintable() or character in "\n\t" for character in text)
    assert [tag for tag, _ in Page(text).elements] == shape


@pytest.mark.parametrize(
    ("content", "name", "cut", "kept"),
    [
        (b"line\n" * 201, "a.txt", "the first 200 of 201 lines", 200),
        (b"line\n" * 200, "a.txt", "", 200),
        (b"x" * 70_000, "a.txt", "the first 64 KiB of 68 KiB", 1),
        (b"x" * 99 + b"\n" + b"line\n" * 20_000, "a.txt", "the first 64 KiB of 97 KiB", 200),
        (b"line\n" * 20_000 + b"the end\n", "console.log", "the last 64 KiB of 97 KiB", 200),
        (b"\xff\x00\xe2\x80\xae" * 3, "a.txt", "", 1),
        (b"", "a.txt", "", 0),
        (b"$ bridge link show\n", "a.txt", "", 0),
    ],
)
def test_a_text_is_shown_up_to_a_limit(tmp_path: Path, content: bytes, name: str, cut: str, kept: int) -> None:
    (tmp_path / name).write_bytes(content)
    (text,) = evidence.Reader(tmp_path).read([name]).texts
    assert text.cut.startswith(cut)
    assert bool(text.cut) == bool(cut)
    assert len(text.lines) == kept
    if name == "console.log":
        assert text.lines[-1] == "the end"


def test_only_regular_files_below_the_report_are_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("a secret")
    root = tmp_path / "report"
    root.mkdir()
    (root / "link.txt").symlink_to(outside)
    (root / "loop.txt").symlink_to("loop.txt")
    (root / "good.txt").write_text("good")
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe.txt")
    paths = ["link.txt", "loop.txt", "folder", "pipe.txt", "../outside.txt", str(outside), "none.txt", "\0", "good.txt"]
    found = evidence.Reader(root).read(paths)
    assert [text.path for text in found.texts] == ["good.txt"]
    assert len(found.notes) == len(paths) - 1
    assert found.links == paths
    document = of_manifest({"BR-04": "failed"}, directory=root)
    document["specs"][0].update(status="failed", evidence=paths)
    assert "a secret" not in html.render(document, root)


def test_a_page_takes_so_much_evidence_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * evidence.BYTE_LIMIT)
    reader = evidence.Reader(tmp_path)
    shown = [reader.read(["a.txt"]) for _ in range(evidence.PAGE_LIMIT // evidence.BYTE_LIMIT + 5)]
    assert sum(len(one.texts) for one in shown) == evidence.PAGE_LIMIT // evidence.BYTE_LIMIT
    assert shown[-1].notes == ["a.txt is not shown: the page has enough"]
    assert shown[-1].links == ["a.txt"]


def test_calls_and_tracebacks_are_limited_too() -> None:
    document = of_manifest({"BR-04": "failed"})
    (entry,) = [entry for entry in document["specs"] if entry["id"] == "BR-04"]
    entry["calls"] = [f"call_{number}()" for number in range(1000)]
    entry["traceback"] = "\n".join(f"line {number}" for number in range(1000))
    page = Page(html.render(document))
    assert "call_199()" in page.texts["code"]
    assert "call_200()" not in page.texts["code"]
    assert "800 calls more" in page.text("p")
    assert "the last 200 of 1000 lines" in page.text("p")
    assert "line 999" in page.text("pre")


def test_the_console_of_an_environment_is_with_its_facts(tmp_path: Path) -> None:
    document = of_manifest({}, directory=tmp_path)
    (tmp_path / "serial-0.log").write_text("".join(f"line {number}\r\n" for number in range(300)))
    document["runs"][0]["log"] = "serial-0.log"
    page = Page(html.render(document, tmp_path))
    assert "serial-0.log the last 200 of 300 lines" in page.text("summary")
    assert "line 299" in page.text("pre")
    assert "./serial-0.log" in page.values("href")
    document["runs"][0]["log"] = ""
    assert not Page(html.render(document, tmp_path)).named("summary")
