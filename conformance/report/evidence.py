"""Evidence as the page shows it: captures of all endpoints as one table, and texts, each up to a limit.

A report can come from anywhere: only regular files below its directory are read, and never more of them than a page can
bear. What is left out is said, with the way to the file.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.report import capture

#: Shown of one text.
LINE_LIMIT = 200
BYTE_LIMIT = 64 << 10
#: Shown of one frame.
FRAME_BYTES = 256
#: Characters of evidence on one page; a driver that fails everything would make it too heavy to be opened.
PAGE_LIMIT = 6 << 20

#: In which order a reader wants texts, by words in the file's name.
_RANKS = (
    re.compile("state|diff|left"),
    re.compile("rule|filter|iptables|nft|ebtables|chain|anchor|pf"),
    re.compile("link|bridge|fdb|address|route"),
    re.compile(""),
)
#: What is written as it happens: its end tells most.
_LOG = re.compile(r"console|serial|\.log$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Text:
    """A text: the command that gave it where it names one, what is shown of it, and what is not."""

    path: str
    command: str
    lines: tuple[str, ...]
    cut: str = ""

    @property
    def is_diff(self) -> bool:
        """Whether its lines say what has come and gone."""
        return any(line.startswith(("+", "-")) for line in self.lines) and bool(_RANKS[0].search(_name(self.path)))


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that an endpoint has sent or seen; ``after`` is in seconds since the first frame of the spec."""

    at: str
    after: float
    row: capture.Row
    dump: str


@dataclass(slots=True)
class Evidence:
    """All there is for one spec. ``notes`` say what could not be shown; ``links`` are the files' paths."""

    frames: list[Frame] = field(default_factory=list)
    frames_left_out: int = 0
    texts: list[Text] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Reader:
    """Reads the evidence of one report, as much of it as one page takes."""

    def __init__(self, directory: Path | None) -> None:
        """Read below a directory; without one there are only links."""
        self._root = directory.resolve() if directory else None
        self._left = PAGE_LIMIT

    def read(self, paths: Sequence[str], known: Sequence[str] = ()) -> Evidence:
        """Return what these files hold; ``known`` are names of files that are on the page by another way."""
        found = Evidence(links=list(paths))
        if self._root is None:
            return found
        captures = []
        texts = []
        for path in paths:
            try:
                file = self._file(path)
            except ValueError as error:
                found.notes.append(f"{_name(path)}: {error}")
                continue
            if _name(path) in known:
                continue
            if self._left <= 0:
                found.notes.append(f"{_name(path)} is not shown: the page has enough")
            elif path.endswith(".pcap"):
                captures.append((path, file))
            else:
                texts.append(_text(path, file))
                self._left -= sum(map(len, texts[-1].lines))
        self._merge(found, captures)
        found.texts = sorted(texts, key=lambda text: _rank(text.path))
        return found

    def _file(self, path: str) -> Path:
        """Return the file that a report names.

        Raises:
            ValueError: it is not there, or not one to read.
        """
        assert self._root is not None
        try:
            file = (self._root / path).resolve(strict=True)
            mode = file.stat().st_mode
        except OSError as error:
            raise ValueError(f"it cannot be read: {error.strerror}") from None
        except RuntimeError:  # from Python before 3.13
            raise ValueError("it cannot be read: a loop of symbolic links") from None
        if not file.is_relative_to(self._root):
            raise ValueError("it is not below the report's directory")
        if not stat.S_ISREG(mode):
            raise ValueError("it is no regular file")
        return file

    def _merge(self, found: Evidence, captures: Sequence[tuple[str, Path]]) -> None:
        """Put the frames of all endpoints in the order of time: who sent it, who saw it, who did not."""
        rows = []
        total = 0
        for path, file in captures:
            decoded = capture.decode(file)
            total += decoded.total
            rows += [(row, _name(path).removesuffix(".pcap")) for row in decoded.rows]
            if decoded.note:
                found.notes.append(f"{_name(path)}: {decoded.note}")
        rows.sort(key=lambda pair: pair[0].when)
        for row, at in rows[: capture.FRAME_LIMIT]:
            dump = capture.dump(row.data[:FRAME_BYTES])
            left_out = len(row.data) - FRAME_BYTES
            dump += f"\n… and {left_out} bytes more" if left_out > 0 else ""
            found.frames.append(Frame(at, row.when - rows[0][0].when, row, dump))
            self._left -= len(dump) + len(row.summary)
        found.frames_left_out = total - len(found.frames)


def clipped(text: str, *, tail: bool = False) -> tuple[tuple[str, ...], str]:
    """Return the lines of a text that are shown, and what to say of the others."""
    lines = text.split("\n")
    which = "last" if tail else "first"
    cut = ""
    if len(lines) > LINE_LIMIT:
        cut = f"the {which} {LINE_LIMIT} of {len(lines)} lines"
        lines = lines[-LINE_LIMIT:] if tail else lines[:LINE_LIMIT]
    shown = "\n".join(lines)
    if len(shown) > BYTE_LIMIT:
        cut = f"the {which} {BYTE_LIMIT >> 10} KiB"
        lines = (shown[-BYTE_LIMIT:] if tail else shown[:BYTE_LIMIT]).split("\n")
    return tuple(lines), cut


def _text(path: str, file: Path) -> Text:
    is_log = bool(_LOG.search(_name(path)))
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            if is_log and size > BYTE_LIMIT:
                opened.seek(-BYTE_LIMIT, 2)
            data = opened.read(BYTE_LIMIT)
    except OSError as error:
        return Text(path, "", (), f"it cannot be read: {error.strerror}")
    text = data.decode(errors="backslashreplace").replace("\r\n", "\n").rstrip("\n")
    if is_log:
        text = _COLOUR.sub("", text)
    command, _, rest = text.partition("\n")
    if command.startswith("$ "):
        text = rest
    lines, cut = clipped(text, tail=is_log) if text else ((), "")
    if size > len(data):
        shown = f", {len(lines)} lines" if cut else ""
        cut = f"the {'last' if is_log else 'first'} {BYTE_LIMIT >> 10} KiB of {size >> 10} KiB{shown}"
    return Text(path, command[2:] if command.startswith("$ ") else "", lines, cut)


def _rank(path: str) -> tuple[int, str]:
    name = _name(path)
    return next(rank for rank, words in enumerate(_RANKS) if words.search(name)), name


def _name(path: str) -> str:
    return path.rpartition("/")[2]
