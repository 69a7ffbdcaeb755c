"""Neutron's ``IptablesManager``, as its firewall driver makes it for IPv4.

Neutron runs the programs in a privileged daemon. Here that function is called directly, without the round trip to the
daemon. Its external lock is a file in a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from neutron import privileged
from neutron.agent.linux.iptables_manager import IptablesManager
from oslo_concurrency import lockutils

from benchmarks import firewalls
from benchmarks.firewalls import OWNER, Model, Step, workload
from benchmarks.firewalls.workload import Line


class Neutron:
    """A manager, filled by ``add_chain`` and ``add_rule`` of its table of IPv4 filters."""

    def __init__(self, tool: str) -> None:
        """Make the privileged functions run in this process; have ``iptables`` be the variant."""
        privileged.default.set_client_mode(False)
        folder = Path(tempfile.mkdtemp(dir="/run"))  # a file system of this process's own, which goes with it
        lockutils.set_defaults(lock_path=str(folder / "locks"))
        for job in ("", "-save", "-restore"):
            program = shutil.which(f"iptables-{tool}{job}")
            assert program is not None, f"there is no iptables-{tool}{job}"
            (folder / f"iptables{job}").symlink_to(Path(program).resolve())
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        self.manager = IptablesManager(state_less=True, use_ipv6=False, nat=False, binary_name=OWNER)
        self.table = self.manager.ipv4["filter"]

    def first(self) -> Step:
        """``apply``."""
        return self.manager.apply  # type: ignore[no-any-return]

    def more(self, line: Line) -> Step:
        """``add_rule`` and ``apply``."""
        written = line.iptables("$")

        def run() -> None:
            self.table.add_rule(line.chain, written)
            self.manager.apply()

        return run

    def less(self, line: Line) -> Step:
        """``remove_rule`` and ``apply``."""
        written = line.iptables("$")

        def run() -> None:
            self.table.remove_rule(line.chain, written)
            self.manager.apply()

        return run

    def nothing(self) -> Step:
        """``apply``."""
        return self.manager.apply  # type: ignore[no-any-return]


def start(tool: str, count: int) -> firewalls.Firewall:
    """Fill the model."""
    made = Neutron(tool)
    add_chains(made, count)
    for line in workload.lines(count):
        made.table.add_rule(line.chain, line.iptables("$"))
    return made


def add_chains(made: Neutron, count: int) -> None:
    """Add all chains, and the jump to the one that jumps to the others."""
    for name in ("guests", *workload.chains(count)):
        made.table.add_chain(name)
    made.table.add_rule("FORWARD", "-j $guests")


def model(kind: str, count: int) -> Model:
    """Return the model, for a variant of iptables."""
    made = Neutron(kind)
    add_chains(made, count)
    return Model(
        lambda: ((line.chain, line.iptables("$")) for line in workload.lines(count)),
        made.table.add_rule,
        made.manager.apply,
    )
