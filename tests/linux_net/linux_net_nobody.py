"""An agent that starts refnet's daemon, becomes nobody, and then calls Nova's names: run by test_linux_net_nobody.

python linux_net_nobody.py DIRECTORY
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from linux_net_ground import UUID, fixed_ip, network
from oslo_config import cfg

from refnet import config, linux_net, netdev, oslo_options, privsep

MAC, MAC2 = "52:54:00:00:00:01", "52:54:00:00:00:02"
NOBODY = 65534


def plug() -> dict[str, Any]:
    """A tap at Open vSwitch, and a network with rules and a server: made, looked at, and taken down."""
    linux_net.create_tap_dev("tap1", MAC)
    linux_net.create_ovs_vif_port("br-int", "tap1", UUID, MAC, UUID, 1400)
    linux_net.metadata_accept()
    dev = linux_net.plug(network(), MAC2)
    netdev.ensure_gateway_address(dev, "10.0.0.1/24")
    linux_net.restart_dhcp(None, dev, network(), [fixed_ip("10.0.0.3", MAC, "web")])
    said = {
        "port": netdev.ovs_ports("br-int"),
        "mtu": netdev.device("tap1").mtu,
        "uid": os.getresuid(),
        "rules": [str(one) for one in linux_net.iptables_manager.ipv4["filter"].rules],
        "dirty": linux_net.iptables_manager.dirty(),
        "deferred": linux_net.iptables_manager.iptables_apply_deferred,
    }
    linux_net.kill_dhcp(dev)
    linux_net.unplug(network())
    linux_net.delete_ovs_vif_port("br-int", "tap1")
    linux_net.iptables_manager.firewall.teardown()
    left = [one for one in ("tap1", "br100") if linux_net.device_exists(one)]
    return {**said, "left": left, "ports_left": netdev.ovs_ports("br-int")}


def main() -> None:
    """Start the daemon, become nobody, and plug."""
    # What is imported after root is given up has to be readable for nobody, which root's own Python need not be.
    for module in ("conntrack", "iptables"):
        importlib.import_module(f"refnet.firewall.{module}")
    importlib.import_module("refnet.netdev.linux")
    oslo_options.register(cfg.CONF)
    cfg.CONF([], project="refnet", default_config_files=[])
    config.configure(dhcp_directory=sys.argv[1])
    linux_net.configure(my_ip="192.0.2.1")
    privsep.start()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    print(json.dumps(plug()))


if __name__ == "__main__":
    main()
