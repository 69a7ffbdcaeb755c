"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The numbers of a run.

    What they cost is mostly clearing away: the kernel takes about 20 ms to delete a bridge, one after the other.
    """

    #: Plugs in a portion, and those in a slow contender's portion. In a round each contender makes one portion.
    portion: int
    slow_portion: int
    #: Portions for each contender in a fresh namespace, and how often that is repeated.
    portions: int
    repeats: int
    #: Portions in a namespace that fills up, and how many of them count as its first and its last.
    large_portions: int
    edge_portions: int
    idle_rounds: int
    idle_calls: int
    import_rounds: int
    suite_rounds: int
    #: Specs at once in the runs of the suite on this host; the last is what the other environments get as well.
    suite_workers: tuple[int, ...]
    #: How many rules stand, and how often that is repeated with fresh namespaces.
    rules: dict[int, int]
    #: Rules that come and go one by one in each of these, and that of them in which the slow contenders take part.
    rule_changes: int
    slow_rule_changes: int
    model_rounds: int
    #: Hosts of the networks that hosts are added to; the last is that of all other measurements of DHCP.
    dhcp_hosts: tuple[int, ...]
    #: Leases in one more of the measurements of adding.
    dhcp_leased: int
    dhcp_starts: int
    dhcp_changes: int
    dhcp_loads: int
    #: Seconds for which clients ask.
    dhcp_seconds: float
    dhcp_reads: int
    event_rounds: int
    #: Ports of Open vSwitch, and how often all of them come and go by each contender.
    switch_ports: int
    switch_rounds: int

    @property
    def plugs(self) -> int:
        """Plugs in a namespace that stays small."""
        return self.portion * self.portions

    @property
    def large_plugs(self) -> int:
        """Plugs in a namespace that fills up."""
        return self.portion * self.large_portions

    @property
    def edge(self) -> int:
        """Plugs that count as the first and as the last of a namespace that fills up."""
        return self.portion * self.edge_portions


FULL = Plan(
    portion=50,
    slow_portion=10,
    portions=4,
    repeats=3,
    large_portions=40,
    edge_portions=4,
    idle_rounds=9,
    idle_calls=200,
    import_rounds=15,
    suite_rounds=1,
    suite_workers=(1, 4, 2),
    rules={5_000: 11, 20_000: 5},
    rule_changes=10,
    slow_rule_changes=2,
    model_rounds=3,
    dhcp_hosts=(100, 10_000),
    dhcp_leased=2_000,
    dhcp_starts=11,
    dhcp_changes=21,
    dhcp_loads=5,
    dhcp_seconds=3.0,
    dhcp_reads=21,
    event_rounds=51,
    switch_ports=100,
    switch_rounds=5,
)
QUICK = Plan(
    portion=20,
    slow_portion=4,
    portions=3,
    repeats=1,
    large_portions=10,
    edge_portions=2,
    idle_rounds=3,
    idle_calls=50,
    import_rounds=3,
    suite_rounds=1,
    suite_workers=(2,),
    rules={1_000: 1, 4_000: 1},
    rule_changes=3,
    slow_rule_changes=1,
    model_rounds=1,
    dhcp_hosts=(100, 2_000),
    dhcp_leased=500,
    dhcp_starts=3,
    dhcp_changes=3,
    dhcp_loads=1,
    dhcp_seconds=1.5,
    dhcp_reads=5,
    event_rounds=9,
    switch_ports=40,
    switch_rounds=2,
)
