"""os-vif's way to Open vSwitch: its own functions, with its connection that is kept ("native").

os-vif runs them in a privileged daemon. Here they are called directly, without the round trip to the daemon. A line
with "add N" or "delete N" on standard input has it do so for N ports, and is answered by its nanoseconds.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

from vif_plug_ovs.ovsdb import ovsdb_lib

from benchmarks import switch


def main() -> None:
    """Do what each line of the input says."""
    config = SimpleNamespace(ovsdb_connection=switch.DATABASE, ovsdb_interface="native", ovs_vsctl_timeout=120)
    ovs = ovsdb_lib.BaseOVS(config)
    instance = switch.ids(0)["vm-uuid"]
    print("ready", flush=True)
    for line in sys.stdin:
        verb, count = line.split()
        began = time.perf_counter_ns()
        for number in range(int(count)):
            if verb == "add":
                name, mac = switch.tap(number), switch.mac(number)
                ovs.create_ovs_vif_port(switch.BRIDGE, name, f"id-{number}", mac, instance)
            else:
                ovs.delete_ovs_vif_port(switch.BRIDGE, switch.tap(number), delete_netdev=False)
        print(time.perf_counter_ns() - began, flush=True)


if __name__ == "__main__":
    main()
