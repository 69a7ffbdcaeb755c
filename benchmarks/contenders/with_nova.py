"""Nova's privileged functions, called directly, without the round trip to the daemon that runs them.

Nova has no code for bridges any more. The last that it had (``nova/privsep/linux_net.py`` until nova-network was
removed) ran the commands that stand here. Where ``brctl`` is not installed, ``ip`` does the same, a process for a
process.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import nova.privsep
import nova.privsep.linux_net as nova_net
from oslo_concurrency import processutils

from benchmarks import contenders


def start() -> Callable[[int], object]:
    """Make the privileged functions run in this process."""
    nova.privsep.sys_admin_pctxt.set_client_mode(False)
    has_brctl = shutil.which("brctl") is not None

    def plug(number: int) -> None:
        bridge, tap = contenders.bridge(number), contenders.tap(number)
        if has_brctl:
            processutils.execute("brctl", "addbr", bridge)
            processutils.execute("brctl", "setfd", bridge, "0")
            processutils.execute("brctl", "stp", bridge, "off")
        else:
            processutils.execute("ip", "link", "add", bridge, "type", "bridge")
            processutils.execute("ip", "link", "set", bridge, "type", "bridge", "forward_delay", "0")
            processutils.execute("ip", "link", "set", bridge, "type", "bridge", "stp_state", "0")
        nova_net.set_device_enabled(bridge)
        nova_net.create_tap_dev(tap, contenders.tap_mac(number))
        nova_net.set_device_mtu(tap, contenders.MTU)
        if has_brctl:
            processutils.execute("brctl", "addif", bridge, tap)
        else:
            processutils.execute("ip", "link", "set", tap, "master", bridge)

    return plug
