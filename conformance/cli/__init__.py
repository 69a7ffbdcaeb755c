"""The command ``refnet-conformance``: :mod:`.parser` says what can be asked, :mod:`.commands` does it."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from conformance.cli import parser
from conformance.cli.output import complain
from conformance.errors import EnvironmentUnavailable
from conformance.verdict import ExitStatus
from refnet.errors import RefnetError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser.build().parse_args(argv)
    arguments.command_line = ("refnet-conformance", *(sys.argv[1:] if argv is None else argv))
    try:
        return int(arguments.function(arguments))
    except EnvironmentUnavailable as unavailable:
        return complain(str(unavailable), ExitStatus.NO_ENVIRONMENT)
    except BrokenPipeError:
        # The reader has seen enough; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.USAGE)
    except (RefnetError, ValueError, OSError) as error:
        return complain(str(error), ExitStatus.USAGE)
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)
    # A defect of the suite's own. Python's status for it would be 1, which means something else here.
    except Exception:
        traceback.print_exc()
        return complain("the suite itself failed: please report the above", ExitStatus.SUITE_FAILED)
