"""The machinery of the command line: arguments as data, and help that reads like a manual page.

Nothing of the drivers is imported here or in :mod:`~refnet.cli.manual`, which has the commands: ``refnet --help``
costs little more than starting Python.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from refnet import __version__
from refnet.cli.output import Answer, UsageError

EXIT_STATUS = """\
EXIT STATUS
  0    done
  1    the system refused: no such device, no permission, not supported, ...
  2    usage: wrong arguments, or a value that cannot be; nothing has changed
  70   a bug in refnet or in its driver
  130  interrupted (Ctrl-C); the same command again brings its work to an end
  141  the reader of the output went away"""

ENVIRONMENT = """\
ENVIRONMENT
  REFNET_NETDEV    the device driver to use where --driver is not given
  REFNET_FIREWALL  the firewall to use where --driver is not given
  REFNET_DHCP      the DHCP backend to use where --driver is not given
  REFNET_OVSDB     where Open vSwitch's database is where --ovsdb is not given
  REFNET_DEBUG     if not empty, a bug (status 70) is shown with its traceback"""


#: Stands for the name ``--`` behind ``--``, which argparse would drop. No argument of a process has a zero byte.
_DASHES = "\0--"


class Printed(Exception):
    """The command line asks for a text, not for work: help, or the version."""

    def __init__(self, text: str) -> None:
        """Keep the text, lines ended."""
        super().__init__(text)
        self.text = text


class Argument(NamedTuple):
    """An argument of a command: ``--name`` or a positional one, and argparse's keywords for it."""

    flag: str
    keywords: dict[str, Any]
    #: Only one of the arguments that are marked so can be given.
    exclusive: bool = False


class Command(NamedTuple):
    """A command: the words that call it, what runs, and its manual page.

    ``operation`` is the driver's method, as errors name it. ``examples`` are lines of the shell. ``run`` is given a
    device driver, unless its first word is one of :data:`~refnet.cli.output.AREAS`.
    """

    words: str
    run: Callable[..., Answer]
    operation: str | None
    summary: str
    description: str
    arguments: Sequence[Argument]
    examples: str


class Group(NamedTuple):
    """Words that commands share, such as ``bridge``, and their manual page."""

    words: str
    summary: str
    description: str
    examples: str


def argument(flag: str, help: str, *, exclusive: bool = False, **keywords: Any) -> Argument:
    """Describe an argument. A positional one is called ``flag`` in the options and in upper case in the help."""
    if not flag.startswith("-"):
        keywords.setdefault("metavar", flag.upper())
    return Argument(flag, {"help": help, **keywords}, exclusive)


# -- values -----------------------------------------------------------------------------------------------
# Only what text can be a value at all is seen here. Which values are possible is for refnet.names and the driver.


def whole_number(text: str) -> int:
    """Read a number that is written in decimal digits."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def seconds(text: str) -> float:
    """Read a duration in seconds, such as ``15`` or ``0.5``."""
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds such as 15 or 0.5")
    return float(text)


def switch(text: str) -> bool:
    """Read ``on`` or ``off``."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'on' nor 'off'")
    return text == "on"


def tags(text: str) -> tuple[int, ...]:
    """Read 802.1Q tags, divided by commas."""
    return tuple(whole_number(part) for part in text.split(","))


def name_or_number(text: str) -> int | str:
    """Read a user or a group: digits are a number, anything else is a name."""
    return whole_number(text) if text.isascii() and text.isdigit() else text


# -- the parser -------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process, and whose help has a manual page's headings."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, self.prog)

    def format_help(self) -> str:
        """Return the manual page: argparse's "usage:" becomes a section, and headings are just words."""
        usage, _, sections = super().format_help().partition("\n\n")
        synopsis = "\n".join("  " + line[len("usage: ") :] for line in usage.splitlines())
        sections = re.sub(r"^([A-Z ]+):$(\n  COMMAND$)?", r"\1", sections, flags=re.MULTILINE)
        return f"SYNOPSIS\n{synopsis}\n\n{sections}"


class _Print(argparse.Action):
    """``--help`` and ``--version``: raise :class:`Printed` with the text in ``const``, or with the help."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        """End the parsing: whatever else is given does not matter."""
        raise Printed(self.const or parser.format_help())


def build(root: Group, entries: Sequence[Group | Command]) -> Parser:
    """Build the parser of all commands; a group stands before what is in it."""
    top = Parser(**_page(root.description, root.examples), prog="refnet")
    # Everywhere else an option that is not given leaves no trace, so that it can stand at any level.
    top.set_defaults(driver=None, json=False)
    below = {"": _add_commands(top)}
    _add_global(top).add_argument(
        "--version",
        action=_Print,
        nargs=0,
        const=f"refnet {__version__}\n",
        help="print the version and exit",
    )
    for entry in entries:
        above, _, word = entry.words.rpartition(" ")
        page = _page(entry.description, entry.examples)
        parser = below[above].add_parser(word, help=entry.summary, **page)
        if isinstance(entry, Group):
            below[entry.words] = _add_commands(parser)
        else:
            _add_arguments(parser, entry.arguments)
            parser.set_defaults(run=entry.run, operation=entry.operation, prog=parser.prog, words=entry.words)
        _add_global(parser)
    return top


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UsageError: it fits no command.
        Printed: it asks for help or for the version.
    """
    options_end = len(_before_names(arguments)) + 1
    names = [_DASHES if text == "--" else text for text in arguments[options_end:]]
    try:
        options, unknown = parser.parse_known_args([*arguments[:options_end], *names])
        if unknown:
            shown = " ".join(repr("--" if text == _DASHES else text) for text in unknown)
            raise UsageError(f"what is {shown} here?", options.prog)
    except UsageError as error:
        # Every option but -h has two dashes.
        if any(re.match("-[^-h]", text) for text in _before_names(arguments)):
            raise UsageError(f"{error} (a name that begins with '-' goes behind '--')", error.prog) from None
        raise
    for name, value in vars(options).items():
        if value == _DASHES:
            setattr(options, name, "--")
    return options


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether ``--json`` is given, also where the rest cannot be parsed: the error is JSON then."""
    return "--json" in _before_names(arguments)


def _before_names(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _page(description: str, examples: str) -> dict[str, Any]:
    """Return argparse's keywords for a parser with this manual page."""
    keywords: dict[str, Any] = {
        "description": f"DESCRIPTION\n{_prose(description)}",
        "epilog": f"EXAMPLES\n{_indent(examples)}\n\n{EXIT_STATUS}\n\n{ENVIRONMENT}",
        "formatter_class": functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
        "add_help": False,
        "allow_abbrev": False,
    }
    if sys.version_info >= (3, 14):
        keywords["color"] = False
    return keywords


def _prose(text: str) -> str:
    """Fill paragraphs; one that is indented stays as it is."""
    paragraphs = (
        _indent(paragraph)
        if paragraph.startswith(" ")
        else textwrap.fill(paragraph, 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        for paragraph in text.strip("\n").split("\n\n")
    )
    return "\n\n".join(paragraphs)


def _indent(text: str) -> str:
    return textwrap.indent(text.strip("\n"), "  ")


def _add_commands(parser: Parser) -> argparse._SubParsersAction[Parser]:
    return parser.add_subparsers(title="COMMANDS", metavar="COMMAND", required=True)


def _add_arguments(parser: Parser, arguments: Sequence[Argument]) -> None:
    positional = parser.add_argument_group("ARGUMENTS")
    optional = parser.add_argument_group("OPTIONS")
    exclusive = None
    for flag, keywords, is_exclusive in arguments:
        if not flag.startswith("-"):
            positional.add_argument(flag, **keywords)
        elif not is_exclusive:
            optional.add_argument(flag, **keywords)
        else:
            exclusive = exclusive or optional.add_mutually_exclusive_group()
            exclusive.add_argument(flag, **keywords)


def _add_global(parser: Parser) -> argparse._ArgumentGroup:
    options = parser.add_argument_group("GLOBAL OPTIONS")
    options.add_argument(
        "--driver",
        metavar="DRIVER",
        default=argparse.SUPPRESS,
        help="the driver to use, or for firewall and dhcp commands the firewall or DHCP backend: its name, or "
        "package.module:Class (default: REFNET_NETDEV, REFNET_FIREWALL or REFNET_DHCP, else the platform's)",
    )
    options.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document, also for an error"
    )
    options.add_argument("-h", "--help", action=_Print, nargs=0, default=argparse.SUPPRESS, help="print this and exit")
    return options
