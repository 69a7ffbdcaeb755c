"""What the commands of ``refnet-conformance`` do. Those that run specs are in :mod:`.running`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from conformance import environments
from conformance import spec as specs
from conformance.cli.running import areas, options
from conformance.report import joined
from conformance.scaffold import new_driver as write_new_driver
from conformance.verdict import ExitStatus
from conformance.verify import verify as verify_report


def list_specs(arguments: argparse.Namespace) -> int:
    """List the specs."""
    listed = specs.select(specs.collect(), areas=areas(arguments))
    if arguments.json:
        print(specs.manifest_text(listed), end="")
        return int(ExitStatus.CONFORMANT)
    for one in listed:
        needs = " ".join([*one.capabilities, *one.needs])
        print(f"{one.id:<7} {one.level:<5} {needs:<28} {one.sentence}")
    return int(ExitStatus.CONFORMANT)


def list_environments(arguments: argparse.Namespace) -> int:
    """List where specs can be run from here, and what the others lack."""
    wanted = options(arguments)
    found = {name: environments.load(name).availability(wanted) for name in environments.NAMES}
    if arguments.json:
        entries = [{"name": name, "ready": not one.missing, **asdict(one)} for name, one in found.items()]
        print(json.dumps(entries, indent=1))
        return int(ExitStatus.CONFORMANT)
    for name, one in found.items():
        print(f"{name:<10} {'not here' if one.missing else 'ready':<9} {one.found}".rstrip())
        for words in one.missing:
            print(f"{'':<20} {words}")
    return int(ExitStatus.CONFORMANT)


def join_reports(arguments: argparse.Namespace) -> int:
    """Join the reports of many runs into one matrix."""
    for path in joined.join([Path(directory) for directory in arguments.directories], Path(arguments.output)):
        print(path)
    return int(ExitStatus.CONFORMANT)


def verify(arguments: argparse.Namespace) -> int:
    """Compute a report's verdict again."""
    return int(verify_report(Path(arguments.report)))


def new_driver(arguments: argparse.Namespace) -> int:
    """Write a package for a new driver."""
    for path in write_new_driver(Path(arguments.path), arguments.interface):
        print(path)
    return int(ExitStatus.CONFORMANT)
