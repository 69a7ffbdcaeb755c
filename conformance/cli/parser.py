"""What ``refnet-conformance`` can be asked: its commands, their options and their manual."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import conformance
from conformance import environments, interfaces
from conformance import spec as specs
from conformance.cli import commands, running
from conformance.environments.base import DEFAULT_KERNEL

_EXIT_STATUS = """\
exit status:
  0    conformant (verify: the report's verdict is what it says, and is conformant; mutants: the matrix is complete)
  1    not conformant
  2    usage: an argument is wrong; nothing was run
  3    the environment could not be had; the message says what is missing and how to get it
  4    the suite itself failed, or its environment was lost, so that there is no verdict
  130  ended by Ctrl-C
"""

_WHERE = """\
environments:
  local       this host's kernel (default): throw-away namespaces on Linux, for root and for ordinary users; vnet jails
              on FreeBSD, for root
  docker      a container of refnet's own image on an engine; several engines share the specs
  linux-vm    a virtual machine with Debian's kernel: VLANs and Open vSwitch also where this kernel has none
  freebsd-vm  a virtual machine that boots a FreeBSD disk: the image that 'make freebsd-image' has built, or --disk
  ssh://USER@HOST:PORT
              any host that has Python 3.10 or later, and the system's tools
'refnet-conformance environments' tells which of them can be had here. The suite, the driver and the pure-Python
packages that they need are brought along, and nothing is left there.
"""


def build() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="refnet-conformance",
        description="Prove by packets that a driver does what refnet's interfaces promise.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"refnet-conformance {conformance.__version__}")
    found = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, function: Callable[[argparse.Namespace], int], summary: str, description: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        added = found.add_parser(
            name,
            help=summary,
            description=description,
            epilog=epilog + "\n" * bool(epilog) + _EXIT_STATUS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(function=function)
        return added

    run = command(
        "run",
        running.run,
        "run the specs against a driver",
        "Run the specs against a driver of each interface and say whether they are conformant.\n\n"
        "Each spec runs in a network namespace of its own. Capabilities that the driver does not\n"
        "declare are exercised for refusal; the verdict says what that leaves open.\n\n"
        "examples:\n"
        "  refnet-conformance run\n"
        "  refnet-conformance run --env linux-vm --report out\n"
        "  refnet-conformance run --env freebsd-vm --disk freebsd.qcow2 --ssh-key key --netdev freebsd\n"
        "  refnet-conformance run --netdev mypackage.driver:MyDriver --report out\n"
        "  refnet-conformance run --area firewall --firewall nftables\n"
        "  refnet-conformance run --only BR-04,AD-11 --keep\n"
        "  refnet-conformance run --resume out",
        _WHERE,
    )
    run.add_argument(
        "--level", choices=specs.LEVELS, default="full", help="run the specs up to this level (default: full)"
    )
    run.add_argument("--only", default="", metavar="ID,…", help="run these specs only")
    run.add_argument("--only-failed", default="", metavar="DIR", help="run what failed in the report in this directory")
    run.add_argument(
        "--resume",
        default="",
        metavar="DIR",
        help="go on with the run that was to be reported in this directory and was broken off: where and what as then",
    )
    _running(run)
    _where(run)

    kill = command(
        "mutants",
        running.run_mutants,
        "run the specs against wrong drivers: the kill matrix",
        "Run the specs against drivers that are wrong on purpose. Every mutant has to be caught, by the specs\n"
        "that claim it and with the words that they promise, and every spec has to catch one.",
        _WHERE,
    )
    kill.add_argument("--only", default="", metavar="NAME,…", help="these mutants only")
    kill.add_argument("--list", action="store_true", help="list the mutants, and run nothing")
    _running(kill)
    _where(kill)

    listing = command(
        "specs", commands.list_specs, "list the specs", "List every spec: id, level, what it needs, and its sentence."
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    _areas(listing, "specs of this area only")

    places = command(
        "environments",
        commands.list_environments,
        "list where specs can be run from here",
        "List the environments: whether each can be had here, what is missing, and how to get it. Nothing is changed.",
    )
    places.add_argument("--json", action="store_true", help="as JSON")
    _options(places)

    joining = command(
        "matrix",
        commands.join_reports,
        "join the reports of many runs",
        "Join the reports of many runs, in several environments or of several drivers, into one page, one table in\n"
        "Markdown and one badge: matrix.html, matrix.md and badge.svg.\n\n"
        "example:\n"
        "  refnet-conformance matrix build/local build/linux-vm --output build/matrix",
    )
    joining.add_argument("directories", nargs="+", metavar="DIR", help="a run's report")
    joining.add_argument("--output", default=".", metavar="DIR", help="where to write (default: the current directory)")

    check = command(
        "verify",
        commands.verify,
        "compute a report's verdict again",
        "Compute the verdict of a report again from what became of each spec, and compare it, its specs and\n"
        "its manifest with what this version of the suite knows.",
    )
    check.add_argument("report", metavar="report.json", help="the report")

    new = command(
        "new-driver",
        commands.new_driver,
        "write a package for a new driver",
        "Write a package for a new driver of an interface: a class with its methods, all refusing, an entry\n"
        "point, and a CI job. Run the suite against it, and write until nothing is red.",
    )
    new.add_argument("path", metavar="PATH", help="the folder to make; its name becomes the package's")
    new.add_argument(
        "--interface",
        choices=tuple(interfaces.ALL),
        default=next(iter(interfaces.ALL)),
        help="what the driver is of (default: netdev, network devices)",
    )
    return parser


def _running(parser: argparse.ArgumentParser) -> None:
    for one in interfaces.ALL.values():
        words = f"{one.noun}: an entry-point name or package.module:Class (default: the platform's)"
        parser.add_argument(one.option, metavar="DRIVER", help=words)
    _areas(parser, "specs of this area only; the verdict then is about that interface")
    parser.add_argument("--wheel", metavar="FILE", help="import the driver from this wheel, installed or not")
    parser.add_argument(
        "-n",
        "--workers",
        type=_number("workers", 0, 256),
        metavar="N",
        help="how many specs at once (default: one a processor of the environment)",
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


def _areas(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument(
        "--area",
        dest="areas",
        action="append",
        default=[],
        metavar="AREA,…",
        help=f"{words}: {', '.join(interfaces.ALL)} (default: all)",
    )


def _where(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where to run")
    group.add_argument(
        "--env",
        default="local",
        metavar="ENVIRONMENT",
        help=f"{', '.join(environments.NAMES[:-1])} or ssh://…; see below",
    )
    group.add_argument(
        "--patience",
        type=_number("seconds", 10, 86400),
        default=120,
        metavar="SECONDS",
        help="take an environment that gives no sign of life for so long for hung (default: 120)",
    )
    _options(group)


def _options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--docker-host",
        dest="docker_hosts",
        action="append",
        default=[],
        metavar="URL",
        help="docker: an engine, as DOCKER_HOST names it; given several times, they share the specs",
    )
    group.add_argument("--privileged", action="store_true", help="docker: give the container all privileges")
    group.add_argument(
        "--disk",
        metavar="PATH",
        help="freebsd-vm: the disk to boot, raw or qcow2, whose system has an ssh server and Python 3.10 or later; it "
        "is never written to (default: the image that 'make freebsd-image' has built)",
    )
    group.add_argument(
        "--ssh-key",
        metavar="FILE",
        help="ssh, freebsd-vm: the private key to use (default: those that ssh finds, and for the built image its own)",
    )
    group.add_argument(
        "--ssh-user", default="", metavar="NAME", help="freebsd-vm: who to be there, with user id 0 (default: root)"
    )
    group.add_argument(
        "--kernel",
        choices=("cloud", "generic"),
        default=DEFAULT_KERNEL,
        help="linux-vm: Debian's kernel for clouds (default), or the generic one",
    )
    group.add_argument(
        "--memory", type=_number("MiB", 256, 1 << 20), metavar="MIB", help="linux-vm, freebsd-vm: the machine's memory"
    )


def _number(what: str, least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what} from {least} to {most}")
        return int(text)

    return read
