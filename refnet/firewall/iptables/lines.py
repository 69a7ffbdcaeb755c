"""A chain's lines on the host, in order: each is found, added at an end and removed at a cost that does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Lines:
    """Lines by their text. Two rules of a chain can be written as equal lines: such a one has several places."""

    __slots__ = ("_after", "_before", "_length", "_places", "_sorted")

    def __init__(self, lines: Sequence[str] = ()) -> None:
        """Take the lines in order."""
        self._places: dict[str, int | tuple[int, ...]] = dict(zip(lines, range(len(lines)), strict=True))
        self._before, self._after, self._length = -1, len(lines), len(lines)
        self._sorted = True
        if len(self._places) != len(lines):
            self._places.clear()
            for place, line in enumerate(lines):
                self._put(line, place)

    def __len__(self) -> int:
        return self._length

    def count(self, line: str) -> int:
        """Return how many times a line is there."""
        places = self._places.get(line, ())
        return 1 if isinstance(places, int) else len(places)

    def append(self, lines: Iterable[str]) -> None:
        """Add lines behind the others."""
        for line in lines:
            self._put(line, self._after)
            self._after += 1
            self._length += 1

    def prepend(self, lines: Sequence[str]) -> None:
        """Add lines before the others, in their order."""
        self._sorted = False
        for line in reversed(lines):
            self._put(line, self._before)
            self._before -= 1
            self._length += 1

    def remove(self, lines: Iterable[str]) -> None:
        """Remove lines, each of which is there once."""
        for line in lines:
            del self._places[line]
            self._length -= 1

    def in_order(self) -> list[str]:
        """Return all lines."""
        if self._sorted:
            return list(self._places)
        pairs: list[tuple[int, str]] = []
        for line, places in self._places.items():
            pairs += [(place, line) for place in ((places,) if isinstance(places, int) else places)]
        return [line for _, line in sorted(pairs)]

    def _put(self, line: str, place: int) -> None:
        known = self._places.get(line)
        if known is None:
            self._places[line] = place
        else:
            self._places[line] = (known, place) if isinstance(known, int) else (*known, place)
            self._sorted = False
