"""What refnet's modules log as a warning while a command runs: lines for people, a list for programs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from refnet.cli.output import printable


class _Kept(logging.Handler):
    """Keeps messages, each on one line and harmless for a terminal."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was logged."""
        self.lines.append(printable(record.getMessage()))


@contextlib.contextmanager
def kept(lines: list[str]) -> Iterator[None]:
    """Add to ``lines`` what is logged in the block, instead of Python's own way of writing it to standard error."""
    logger, handler = logging.getLogger("refnet"), _Kept(lines)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
