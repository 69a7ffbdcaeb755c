"""The names and signatures of Nova's ``linux_net``, over refnet: for agents that have called them.

They are those of ``nova.privsep.linux_net`` as it is (Nova 34), the helpers of ``nova.virt.libvirt.vif``, and what
``nova.network.linux_net`` had while Nova did networks by itself (Liberty):

    from refnet import linux_net

    linux_net.create_tap_dev("tap1", "fe:16:3e:12:34:56")
    linux_net.LinuxBridgeInterfaceDriver.ensure_bridge("br100", "eth1")
    linux_net.iptables_manager.apply()

They call :mod:`refnet.netdev`, :mod:`refnet.firewall` and :mod:`refnet.dhcp`, whichever driver is chosen there, and
raise refnet's errors. docs/nova.md has what differs from Nova, function by function, and why.
"""

from refnet.linux_net.devices import (
    _create_veth_pair,
    _set_device_mtu,
    add_vlan,
    create_tap_dev,
    delete_bridge_dev,
    delete_net_dev,
    delete_net_dev_escalated,
    device_exists,
    ensure_vlan,
    set_device_enabled,
    set_device_macaddr,
    set_device_macaddr_and_vlan,
    set_device_mtu,
    set_device_trust,
    set_vf_interface_vlan,
    set_vf_trusted,
)
from refnet.linux_net.dnsmasq import (
    get_dhcp_hosts,
    get_dhcp_leases,
    get_dhcp_opts,
    get_dns_hosts,
    kill_dhcp,
    release_dhcp,
    restart_dhcp,
    update_dhcp,
    update_dhcp_hostfile_with_text,
    update_dns,
    update_ra,
)
from refnet.linux_net.forwarding import (
    add_snat_rule,
    clean_conntrack,
    ensure_floating_forward,
    ensure_vpn_forward,
    floating_forward_rules,
    get_gateway_rules,
    init_host,
    isolate_dhcp_address,
    metadata_accept,
    metadata_forward,
    remove_floating_forward,
    remove_isolate_dhcp_address,
)
from refnet.linux_net.gateway import (
    bind_floating_ip,
    ensure_metadata_ip,
    initialize_gateway_device,
    send_arp_for_ip,
    unbind_floating_ip,
)
from refnet.linux_net.interfaces import (
    LinuxBridgeInterfaceDriver,
    LinuxNetInterfaceDriver,
    LinuxOVSInterfaceDriver,
    NeutronLinuxBridgeInterfaceDriver,
    QuantumLinuxBridgeInterfaceDriver,
    ensure_bridge,
    ensure_vlan_bridge,
    get_dev,
    plug,
    unplug,
)
from refnet.linux_net.settings import Options, configure, options
from refnet.linux_net.switches import (
    create_ivs_vif_port,
    create_ovs_vif_port,
    delete_ivs_vif_port,
    delete_ovs_vif_port,
    ovs_set_vhostuser_port_type,
)
from refnet.linux_net.tables import IptablesManager, get_binary_name, iptables_manager

__all__ = [
    "IptablesManager",
    "LinuxBridgeInterfaceDriver",
    "LinuxNetInterfaceDriver",
    "LinuxOVSInterfaceDriver",
    "NeutronLinuxBridgeInterfaceDriver",
    "Options",
    "QuantumLinuxBridgeInterfaceDriver",
    "_create_veth_pair",
    "_set_device_mtu",
    "add_snat_rule",
    "add_vlan",
    "bind_floating_ip",
    "clean_conntrack",
    "configure",
    "create_ivs_vif_port",
    "create_ovs_vif_port",
    "create_tap_dev",
    "delete_bridge_dev",
    "delete_ivs_vif_port",
    "delete_net_dev",
    "delete_net_dev_escalated",
    "delete_ovs_vif_port",
    "device_exists",
    "ensure_bridge",
    "ensure_floating_forward",
    "ensure_metadata_ip",
    "ensure_vlan",
    "ensure_vlan_bridge",
    "ensure_vpn_forward",
    "floating_forward_rules",
    "get_binary_name",
    "get_dev",
    "get_dhcp_hosts",
    "get_dhcp_leases",
    "get_dhcp_opts",
    "get_dns_hosts",
    "get_gateway_rules",
    "init_host",
    "initialize_gateway_device",
    "iptables_manager",
    "isolate_dhcp_address",
    "kill_dhcp",
    "metadata_accept",
    "metadata_forward",
    "options",
    "ovs_set_vhostuser_port_type",
    "plug",
    "release_dhcp",
    "remove_floating_forward",
    "remove_isolate_dhcp_address",
    "restart_dhcp",
    "send_arp_for_ip",
    "set_device_enabled",
    "set_device_macaddr",
    "set_device_macaddr_and_vlan",
    "set_device_mtu",
    "set_device_trust",
    "set_vf_interface_vlan",
    "set_vf_trusted",
    "unbind_floating_ip",
    "unplug",
    "update_dhcp",
    "update_dhcp_hostfile_with_text",
    "update_dns",
    "update_ra",
]
