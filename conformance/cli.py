"""The command ``refnet-conformance``."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import conformance
from conformance import mutants, runner
from conformance import spec as specs
from conformance.environments import local
from conformance.errors import EnvironmentUnavailable
from conformance.scaffold import new_driver
from conformance.verdict import ExitStatus
from conformance.verify import verify
from refnet.errors import RefnetError

SUITE_FAILED = ExitStatus.SUITE_FAILED
_DESERVED = {"conformant": ExitStatus.CONFORMANT, "not conformant": ExitStatus.NOT_CONFORMANT}

_EXIT_STATUS = """\
exit status:
  0    conformant (verify: the report's verdict is what it says, and is conformant; mutants: the matrix is complete)
  1    not conformant
  2    usage: an argument is wrong; nothing was run
  3    the environment could not be had; the message says what is missing and how to get it
  4    the suite itself failed, so that there is no verdict
  130  ended by Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.function(arguments))
    except EnvironmentUnavailable as unavailable:
        return _complain(str(unavailable), ExitStatus.NO_ENVIRONMENT)
    except (RefnetError, ValueError, OSError) as error:
        return _complain(str(error), ExitStatus.USAGE)
    except BrokenPipeError:
        # The reader has seen enough; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitStatus.USAGE)
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)


def _run(arguments: argparse.Namespace) -> int:
    only = _ids(arguments.only)
    if arguments.only and not only:
        raise ValueError(f"--only {arguments.only!r} names no spec")
    specs.select(specs.manifest(), only=only, level=arguments.level)
    _check_driver(arguments.netdev)
    return _pytest(
        arguments, only, ["--conformance-level", arguments.level], expects="report.json", deserved=_run_deserves
    )


def _mutants(arguments: argparse.Namespace) -> int:
    known = mutants.all_mutants()
    chosen = _ids(arguments.only)
    unknown = sorted(set(chosen) - {one.name for one in known})
    if unknown:
        raise ValueError(f"no such mutant: {', '.join(unknown)} ('refnet-conformance mutants --list' lists them)")
    if arguments.list:
        entries = [{"name": one.name, "wrong": one.wrong, "kills": dict(one.kills)} for one in known]
        if arguments.json:
            print(json.dumps(entries, indent=1))
        else:
            for one in known:
                print(f"{one.name:<34} {one.wrong}\n{'':<34} caught by {' '.join(sorted(one.kills))}")
        return int(ExitStatus.CONFORMANT)
    _check_driver(arguments.netdev)
    return _pytest(
        arguments,
        (),
        ["--conformance-mutants", ",".join(chosen) or "all"],
        expects="mutants.json",
        deserved=_mutants_deserve,
    )


def _pytest(
    arguments: argparse.Namespace,
    only: Sequence[str],
    options: Sequence[str],
    *,
    expects: str,
    deserved: Callable[[dict[str, Any]], ExitStatus],
) -> int:
    """Run pytest with the plugin inside the environment.

    Its exit status counts only if the report that it has written deserves it: a runner that crashed has a status too.
    """
    with tempfile.TemporaryDirectory(prefix="refnet-conformance-") as scratch:
        directory = Path(arguments.report or scratch).absolute()
        report = directory / expects
        _make_ready(directory, report)
        workers = 0 if arguments.keep else arguments.workers
        command = [
            *(sys.executable, "-m", "pytest", "--pyargs", "conformance.specs"),
            *("--rootdir", scratch, "--config-file", os.devnull, "--noconftest"),
            *("-p", "no:cacheprovider", "-p", "no:terminal"),
            *([] if _is_installed() else ["-p", "conformance.plugin"]),
            *("-n", str(workers), "--max-worker-restart", "0", "--maxfail", "1" if arguments.keep else "0"),
            *("--conformance-only", ",".join(only), "--conformance-seed", arguments.seed),
            *("--conformance-report", str(directory)),
            *([] if arguments.report else ["--conformance-scratch"]),
            *options,
            *(["--netdev", arguments.netdev] if arguments.netdev else []),
            *(["--conformance-keep"] if arguments.keep else []),
            *([] if arguments.json else ["--conformance-progress"]),
        ]
        # Options for other people's tests (such as --setup-only) must not decide what is run here.
        status = local.run(
            command, {"PYTEST_ADDOPTS": "", "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        )
        text = report.read_text() if report.exists() else None
    if status == ExitStatus.INTERRUPTED:
        return status
    if text is None:
        return _complain(f"the suite ended with status {status} and without a report: no verdict", SUITE_FAILED)
    if arguments.json:
        print(text, end="")
    if status != deserved(json.loads(text)):
        return _complain(f"the suite ended with status {status}, which its report does not bear out", SUITE_FAILED)
    return status


def _check_driver(option: str | None) -> None:
    if option == "":
        raise ValueError("--netdev is empty: name a driver, or leave it out for the platform's")
    runner.load_driver(option)


def _make_ready(directory: Path, report: Path) -> None:
    """See, before anything is run, that a report can be written, and take an earlier one away.

    Raises:
        ValueError: it cannot.
    """
    # Inside the environment these are other file systems, gone with it.
    if directory.parts[1:2] in (("run",), ("proc",), ("sys",)):
        raise ValueError(f"a report cannot be written to {directory}: name a directory outside /run, /proc and /sys")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        shutil.rmtree(directory / "evidence", ignore_errors=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(f"a report cannot be written to {directory}: {error.strerror}") from None


def _run_deserves(report: dict[str, Any]) -> ExitStatus:
    return _DESERVED.get(report["verdict"]["word"], SUITE_FAILED)


def _mutants_deserve(matrix: dict[str, Any]) -> ExitStatus:
    if matrix["trouble"] or any(pair["state"] == "error" for pair in matrix["pairs"]):
        return SUITE_FAILED
    return ExitStatus.CONFORMANT if matrix["complete"] else ExitStatus.NOT_CONFORMANT


def _specs(arguments: argparse.Namespace) -> int:
    listed = specs.collect()
    if arguments.json:
        print(specs.manifest_text(listed), end="")
        return int(ExitStatus.CONFORMANT)
    for one in listed:
        needs = " ".join([*one.capabilities, *one.needs])
        print(f"{one.id:<7} {one.level:<5} {needs:<28} {one.sentence}")
    return int(ExitStatus.CONFORMANT)


def _verify(arguments: argparse.Namespace) -> int:
    return int(verify(Path(arguments.report)))


def _new_driver(arguments: argparse.Namespace) -> int:
    for path in new_driver(Path(arguments.path)):
        print(path)
    return int(ExitStatus.CONFORMANT)


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "conformance.plugin" for point in entry_points(group="pytest11"))


def _complain(message: str, status: ExitStatus) -> int:
    print(f"refnet-conformance: {message}", file=sys.stderr)
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refnet-conformance",
        description="Prove by packets that a driver does what refnet's interfaces promise.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"refnet-conformance {conformance.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, function: Any, summary: str, description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=_EXIT_STATUS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(function=function)
        return added

    run = command(
        "run",
        _run,
        "run the specs against a driver",
        "Run the specs against a driver and say whether it is conformant.\n\n"
        "Each spec runs in a network namespace of its own. Capabilities that the driver does not\n"
        "declare are exercised for refusal; the verdict says what that leaves open.\n\n"
        "examples:\n"
        "  refnet-conformance run\n"
        "  refnet-conformance run --netdev mypackage.driver:MyDriver --report out\n"
        "  refnet-conformance run --only BR-04,AD-11 --keep",
    )
    run.add_argument(
        "--env", choices=["local"], default="local", help="where to run: throw-away namespaces of this host (default)"
    )
    run.add_argument(
        "--level", choices=specs.LEVELS, default="full", help="run the specs up to this level (default: full)"
    )
    run.add_argument("--only", default="", metavar="ID,…", help="run these specs only")
    _common(run)

    kill = command(
        "mutants",
        _mutants,
        "run the specs against wrong drivers: the kill matrix",
        "Run the specs against drivers that are wrong on purpose. Every mutant has to be caught, by the specs\n"
        "that claim it and with the words that they promise, and every spec has to catch one.",
    )
    kill.add_argument("--only", default="", metavar="NAME,…", help="these mutants only")
    kill.add_argument("--list", action="store_true", help="list the mutants, and run nothing")
    _common(kill)

    listing = command("specs", _specs, "list the specs", "List every spec: id, level, what it needs, and its sentence.")
    listing.add_argument("--json", action="store_true", help="as JSON")

    check = command(
        "verify",
        _verify,
        "compute a report's verdict again",
        "Compute the verdict of a report again from what became of each spec, and compare it, its specs and\n"
        "its manifest with what this version of the suite knows.",
    )
    check.add_argument("report", metavar="report.json", help="the report")

    new = command(
        "new-driver",
        _new_driver,
        "write a package for a new driver",
        "Write a package for a new driver: a class with every method of the interface, all refusing, an entry\n"
        "point, and a CI job. Run the suite against it, and write until nothing is red.",
    )
    new.add_argument("path", metavar="PATH", help="the folder to make; its name becomes the package's")
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--netdev",
        metavar="DRIVER",
        help="device driver: an entry-point name or package.module:Class (default: the platform's)",
    )
    parser.add_argument(
        "-n",
        "--workers",
        type=_workers,
        default=os.cpu_count() or 1,
        metavar="N",
        help="how many specs at once (default: one a processor)",
    )
    parser.add_argument("--report", metavar="DIR", help="write report.json, junit.xml, report.html and evidence there")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="stop at the first failure, one spec at a time, and keep its sandbox to look at",
    )
    parser.add_argument(
        "--seed", default="0", metavar="SEED", help="what MAC addresses and tokens are made from (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) > 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers from 0 to 256")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
