"""The ``refnet`` command: devices, the firewall and DHCP for people and for shell scripts.

The commands and their manual pages are data (:mod:`~refnet.cli.manual`), which :mod:`~refnet.cli.parser` makes a
command line of; :mod:`~refnet.cli.commands`, :mod:`~refnet.cli.firewall` and :mod:`~refnet.cli.dhcp` have a function
for each, :mod:`~refnet.cli.output` says what they print. Here is the way from arguments to an exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from refnet.cli import output, parser
from refnet.cli.manual import ENTRIES, ROOT
from refnet.errors import InvalidArgument, RefnetError

__all__ = ["main"]

DONE, REFUSED, USAGE, BUG, INTERRUPTED, NO_READER = 0, 1, 2, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; ``argv`` is without the program's name (default: the process's).

    The statuses are those of ``refnet --help``. An error is one line on standard error, and so is each warning; with
    ``--json`` both are in the one document on standard output.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status, out, err = _outcome(arguments)
        _write(sys.stderr, err)
        problem = _write(sys.stdout, out)
        if isinstance(problem, BrokenPipeError):
            return NO_READER
        if problem is not None:
            words = problem.strerror or problem
            _write(sys.stderr, f"refnet: the output could not be written: {words} (the command itself: {status})\n")
            return status or REFUSED
        return status
    except KeyboardInterrupt:  # while writing
        return INTERRUPTED


def _outcome(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of a command. Nothing is raised."""
    as_json = parser.wants_json(arguments)
    options = argparse.Namespace()
    warnings: list[str] = []
    try:
        options = parser.parse(parser.build(ROOT, ENTRIES), arguments)
        answer = _run(options, warnings)
    except parser.Printed as wanted:
        return DONE, wanted.text, ""
    except (KeyboardInterrupt, Exception) as error:
        status = _status(error)
        if status == BUG and os.environ.get("REFNET_DEBUG"):
            import traceback

            traceback.print_exc()
        answer = output.Answer(output.error_document(error, options))
        line = f"refnet: {output.error_line(error, options)}\n"
    else:
        status, line = DONE, ""
    if as_json:
        return status, output.as_json(answer.document | ({"warnings": warnings} if warnings else {})), ""
    return status, answer.text, "".join(f"{options.prog.replace(' ', ': ', 1)}: {one}\n" for one in warnings) + line


def _run(options: argparse.Namespace, warnings: list[str]) -> output.Answer:
    # Imported here: a driver and what it needs take several times as long as everything else.
    from refnet.cli import warned

    answer: output.Answer
    with warned.kept(warnings):
        if options.words.partition(" ")[0] in output.AREAS:
            answer = options.run(options)
            return answer
        from refnet.netdev import get_driver

        with get_driver(options.driver) as driver:
            answer = options.run(driver, options)
            return answer


def _status(error: BaseException) -> int:
    if isinstance(error, output.PartlyDone):
        return REFUSED
    if isinstance(error, InvalidArgument | output.UsageError):
        return USAGE
    if isinstance(error, RefnetError):
        return REFUSED
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else BUG


def _write(stream: TextIO | None, text: str) -> OSError | None:
    """Write text and flush it; return what went wrong, with the stream then leading nowhere.

    Otherwise Python would try again when it ends, and complain in words and with a status of its own.
    """
    if stream is None or not text:
        return None
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error
    return None
