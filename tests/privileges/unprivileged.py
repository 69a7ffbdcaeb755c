"""A process that starts refnet's privileged daemon by fork, gives up root, and then uses refnet: run by the tests here.

    python unprivileged.py SCENE DIRECTORY [CAPABILITY-TO-LEAVE-OUT]

What a scene returns is printed as JSON. One that fails ends with a traceback and a status other than 0.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities as caps

from refnet import config, dhcp, firewall, netdev, oslo_options, privsep
from refnet.dhcp import DhcpNetwork, Host, Range
from refnet.errors import AlreadyEnslaved, InvalidArgument, NoSuchDevice, PermissionDenied, RefnetError
from refnet.firewall import ACCEPT, DROP, Not, PortGuard, Rule

NOBODY = 65534
MAC = "52:54:00:12:34:56"
NETWORK = DhcpNetwork("br0", "192.0.2.1/24", ranges=Range("192.0.2.100", "192.0.2.199"))


def give_up_root() -> None:
    """Become nobody; where the user namespace has only one user, at least without any capability."""
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        caps.drop_all_caps_except([], [], [])
    assert status(os.getpid())["CapEff"] == status(os.getpid())["CapPrm"] == set()


def status(pid: int) -> dict[str, set[str]]:
    """Return the names of a process's capabilities, by the line of /proc/PID/status."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":\t")
        if name.startswith("Cap"):
            found[name] = {caps.CAPS_BYVALUE[bit] for bit in range(64) if int(value, 16) >> bit & 1}
    return found


def refused(kind: type[RefnetError], call: Callable[[], object]) -> RefnetError:
    """Return the error that a call raises, of exactly this type."""
    raised: RefnetError | None = None
    try:
        call()
    except RefnetError as error:
        raised = error
    assert type(raised) is kind, repr(raised)
    return raised


def everything() -> Any:
    """A bridge, a tap, rules, a server: by the daemon; and each refused to the process itself."""
    netdev.create_bridge("br0")
    netdev.ensure_gateway_address("br0", "192.0.2.1/24")
    netdev.create_tap_dev("tap0", MAC, owner=NOBODY if os.getuid() == NOBODY else None)
    netdev.add_bridge_port("br0", "tap0")
    direct = netdev.get_driver("linux")
    refused(PermissionDenied, lambda: direct.create_bridge("br9"))
    refused(PermissionDenied, lambda: direct.create_tap_dev("tap9"))
    own = firewall.get_manager("web", "iptables")
    own.add_chain("guests", hook="forward")
    refused(PermissionDenied, own.apply)
    refused(PermissionDenied, lambda: dhcp.get_manager(choice="dnsmasq").start(NETWORK))
    rules = firewall.get_manager("web")
    with rules.deferred():
        rules.add_chain("guests", hook="forward")
        rules.add_rule("guests", Rule(ACCEPT, protocol="tcp", destination="192.0.2.7", destination_ports=[22, 80]))
        rules.add_rule("guests", Rule(DROP, source=Not("192.0.2.0/24")))
    rules.guard_port(PortGuard("tap0", MAC))
    rules.apply()
    server = dhcp.get_manager(firewall=rules)
    server.start(NETWORK)
    server.add_host("br0", Host(MAC, "192.0.2.10", name="web"))
    return {
        "device": str(netdev.device("br0")),
        "ports": netdev.bridge_ports("br0"),
        "standing": [one.name for one in rules.standing()],
        "pid": server.running("br0").pid,
        "server": {key: sorted(value) for key, value in status(server.running("br0").pid or 0).items()},
        "uid": os.getuid(),
    }


def and_down_again() -> Any:
    """All of it is taken down by another unprivileged process."""
    server = dhcp.get_manager(firewall=firewall.get_manager("web"))
    was = server.running("br0").is_running
    hosts = [one.name for one in server.network("br0").hosts]
    server.stop("br0", forget=True)
    firewall.get_manager("web").teardown()
    netdev.delete_bridge("br0")
    netdev.delete_net_dev("tap0")
    return {"was": was, "hosts": hosts, "left": [name for name in ("br0", "tap0") if netdev.device_exists(name)]}


def daemon_capabilities() -> Any:
    """What the daemon may do, as the kernel says, and what each program may that it starts."""
    netdev.device_exists("lo")
    return {key: sorted(value) for key, value in status(daemon()).items()}


def daemon() -> int:
    """Return the daemon's number: it is the only child."""
    (pid,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(pid)


def errors_come_whole() -> Any:
    """Types, words and facts are those that the driver raises."""
    gone = refused(NoSuchDevice, lambda: netdev.device("nothere"))
    assert (gone.operation, gone.device, gone.errno) == ("device", "nothere", 19), vars(gone)
    netdev.create_bridge("br0")
    netdev.create_bridge("br1")
    netdev.create_tap_dev("tap0")
    netdev.add_bridge_port("br0", "tap0")
    held = refused(AlreadyEnslaved, lambda: netdev.add_bridge_port("br1", "tap0"))
    assert (held.master, held.device, held.operation) == ("br0", "tap0", "add_bridge_port")  # type: ignore[attr-defined]
    for value in (10**30, "\ud800", float("nan"), b"1400", None, object()):
        refused(InvalidArgument, lambda value=value: netdev.set_device_mtu("br0", value))  # type: ignore[misc]
    said = ""
    try:
        netdev.get_driver().create_bridge()  # type: ignore[call-arg]
    except TypeError as error:
        said = str(error)
    assert "bridge" in said, "a call without its argument"
    for name in ("br0", "br1"):
        netdev.delete_bridge(name)
    netdev.delete_net_dev("tap0")
    return sorted(vars(held))


def what_is_not_exported() -> Any:
    """A process that speaks the daemon's protocol itself gets nothing done but the interfaces' methods."""
    from refnet.privsep.contexts import context
    from refnet.privsep.daemon import dhcp_call, firewall_call, netdev_call
    from refnet.privsep.encoding import encode

    assert context.channel is not None
    said = []
    for name, *arguments in (
        ("os.system", "touch /run/pwned"),
        ("refnet.process.run", ("touch", "/run/pwned")),
        ("refnet.config.configure",),
        ("refnet.privsep.daemon._call", "a"),
    ):
        try:
            context.channel.remote_call(name, tuple(arguments), {}, None)
        except NameError as error:
            said.append(str(error))
    for method in ("_change", "__init__", "__reduce__", "close", "no_such_method", 5):
        is_value, _ = netdev_call(method, encode(((), {})))
        assert not is_value
    for request in (
        {},
        {"session": "", "settings": {}, "model": {}, "operation": "__class__", "arguments": ()},
        {"session": "", "settings": {"owner": "a"}, "model": {"before": 1}, "operation": "apply", "arguments": ()},
    ):
        is_value, plain = firewall_call(encode(request))
        assert not is_value or plain == "unknown", plain
    is_value, _ = dhcp_call(encode(("/etc", 30.0)), "networks", encode(((), {})))
    assert not is_value
    for plain in (("object", "os.system", "touch /run/pwned"), ("error", "RefnetError", 5, 5), ("named", "x")):
        is_value, _ = netdev_call("device", plain)
        assert not is_value
    refused(InvalidArgument, lambda: dhcp.get_manager("/etc").networks())
    assert not Path("/run/pwned").exists()
    assert netdev.device_exists("lo"), "the daemon goes on"
    return said


def options_are_settled() -> Any:
    """What the process says after the fork has no say in the daemon: not the class, not the database, not the place."""
    config.configure(dhcp_directory="/run/elsewhere", ovsdb="unix:/run/elsewhere.sock")
    os.environ["REFNET_FIREWALL"] = os.environ["REFNET_NETDEV"] = "no.such:Driver"
    directory = dhcp.get_manager().networks()
    reason = netdev.probe(netdev.Capability.OVS)
    manager = firewall.get_manager("web")
    return {"networks": directory, "ovs": reason, "firewall": type(manager._checks).__name__}  # type: ignore[attr-defined]


def in_a_fork_there_is_no_daemon() -> Any:
    """A process forked off this one is refused, and does not wait for answers that somebody else reads."""
    assert netdev.device_exists("lo")
    child = os.fork()
    if child == 0:
        refused(PermissionDenied, lambda: netdev.device_exists("lo"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return netdev.device_exists("lo")


def threads_share_it() -> Any:
    """Calls of several threads at once, each with its own answer."""
    found: dict[int, int] = {}

    def work(number: int) -> None:
        netdev.create_bridge(f"br{number}", mtu=1000 + number)
        found[number] = netdev.device(f"br{number}").mtu
        netdev.delete_bridge(f"br{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert found == {number: 1000 + number for number in range(8)}
    return len(found)


def a_killed_daemon_is_told() -> Any:
    """A call that the daemon's death has caught, or that comes after it, says so and does not wait for ever."""
    netdev.device_exists("lo")
    pid = daemon()
    if os.getuid() == NOBODY:
        # It is not this process's to kill: the test does it, told by a line.
        print(json.dumps({"kill": pid}), flush=True)
        sys.stdin.readline()
    else:
        os.kill(pid, signal.SIGKILL)
    errors: list[str] = []
    limit = time.monotonic() + 60
    while "PermissionDenied" not in errors and time.monotonic() < limit:
        try:
            netdev.device_exists("lo")
        except RefnetError as error:
            errors.append(type(error).__name__)
    return errors


def a_socket_of_another_user() -> Any:
    """Open vSwitch's database is reached though its socket belongs to a user of its own."""
    return netdev.probe(netdev.Capability.OVS)


def needs() -> Any:
    """Say which of these fails, with a capability left out."""
    failed = []

    def attempt(what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except RefnetError:
            failed.append(what)

    rules = firewall.get_manager("web")
    rules.add_chain("guests", hook="forward")
    rules.add_rule("guests", Rule(DROP))
    server = dhcp.get_manager()
    attempt("bridge", lambda: netdev.create_bridge("br0"))
    attempt("address", lambda: netdev.ensure_gateway_address("br0", "192.0.2.1/24"))
    attempt("rules", rules.apply)
    attempt("start", lambda: server.start(NETWORK))
    attempt("stop", lambda: server.stop("br0", forget=True))
    attempt("teardown", rules.teardown)
    attempt("delete", lambda: netdev.delete_bridge("br0"))
    return {"failed": failed, "pid": server.running("br0").pid}


SCENES = {
    scene.__name__: scene
    for scene in (
        everything,
        and_down_again,
        daemon_capabilities,
        errors_come_whole,
        what_is_not_exported,
        options_are_settled,
        in_a_fork_there_is_no_daemon,
        threads_share_it,
        a_killed_daemon_is_told,
        a_socket_of_another_user,
        needs,
    )
}


def main() -> None:
    """Start the daemon, give up root, and play a scene."""
    scene, directory, *left_out = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(240, exit=True)
    # What is imported after root is given up has to be readable for nobody, which root's own Python need not be.
    for module in ("conntrack", "iptables", "nftables"):
        importlib.import_module(f"refnet.firewall.{module}")
    importlib.import_module("refnet.netdev.linux")
    oslo_options.register(cfg.CONF)
    cfg.CONF([], project="refnet", default_config_files=[])
    if left_out:
        kept = [one for one in privsep.context.conf.capabilities if caps.CAPS_BYVALUE[one] != left_out[0]]
        cfg.CONF.set_override("capabilities", kept, group=oslo_options.PRIVILEGED)
    config.configure(dhcp_directory=directory)
    privsep.start()
    give_up_root()
    print(json.dumps(SCENES[scene]()))


if __name__ == "__main__":
    main()
