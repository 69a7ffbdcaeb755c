"""The two topologies of firewalls: the sandbox as a router between guests, and as a bridge with guests on its ports."""

from __future__ import annotations

from conformance.topology.flows import HOST, Flow
from conformance.topology.proofs import Network
from conformance.topology.sandbox import Sandbox
from conformance.topology.servers import Talk

__all__ = ["HOST", "Bridged", "Flow", "Network", "Routed", "Talk"]

_PREFIX = {4: 24, 6: 64}


class Routed(Network):
    """The sandbox is a router; each guest is behind a port of its own, in a network of its own.

    The first guest is 10.0.1.2/24 and fd00:0:0:1::2/64, behind 10.0.1.1 and fd00:0:0:1::1; the second is 10.0.2.2/24,
    and so on. The guests' default routes are by the router, and nobody has to ask for a MAC address.
    """

    def __init__(self, net: Sandbox, *names: str, families: tuple[int, ...] = (4, 6)) -> None:
        """Make the guests, two if no names are said, and make a router of the sandbox."""
        super().__init__(net, families)
        net.forward(*families)
        for number, name in enumerate(names or ("a", "b"), 1):
            guest = self.guests[name] = net.guest(name)
            net.add_address(guest.port, *(f"{self._address(number, 1, one)}/{_PREFIX[one]}" for one in families))
            for family in families:
                net.add_neighbour(guest.port, self._address(number, 2, family), guest.mac)
        net.look.rest()
        self._macs = {name: net.look.mac(guest.port) for name, guest in self.guests.items()}

    def address(self, name: str, family: int = 4) -> str:
        """Return a guest's address; of ``"host"``, its address in the first guest's network."""
        return self._address(1, 1, family) if name == HOST else self._address(self._number(name), 2, family)

    def network(self, name: str, family: int = 4) -> str:
        """Return the network that a guest is in, such as ``10.0.1.0/24``."""
        number = self._number(name)
        return f"10.0.{number}.0/24" if family == 4 else f"fd00:0:0:{number:x}::/64"

    def gateway(self, name: str, family: int = 4) -> str:
        """Return the router's address in a guest's network."""
        return self._address(self._number(name), 1, family)

    def device(self, name: str) -> str:
        """Return the port of a guest."""
        return self.port(name)

    def mac_towards(self, sender: str, receiver: str) -> str:
        """Return the MAC address of the sender's port, whoever the receiver is."""
        return self._macs[sender]

    def wake(self, name: str) -> None:
        """Have a guest's kernel own its addresses, and know its router."""
        gateways = [self.gateway(name, family) for family in self.families]
        neighbours = dict.fromkeys(gateways, self._macs[name])
        self.guests[name].wake(*self._with_lengths(name), gateways=gateways, neighbours=neighbours)

    def _number(self, name: str) -> int:
        return list(self.guests).index(name) + 1

    @staticmethod
    def _address(number: int, host: int, family: int) -> str:
        return f"10.0.{number}.{host}" if family == 4 else f"fd00:0:0:{number:x}::{host:x}"


class Bridged(Network):
    """Guests are on the ports of one plain bridge of the sandbox, which has addresses of its own on it.

    The first guest is 10.1.0.2/24 and fd01::2/64, the second 10.1.0.3/24 and fd01::3/64, and so on; the bridge is
    10.1.0.1/24 and fd01::1/64. Awake guests ask for each other's MAC addresses by ARP and neighbour discovery; the
    sandbox knows the guests'.
    """

    #: The bridge's name.
    bridge = "br0"

    def __init__(self, net: Sandbox, *names: str, families: tuple[int, ...] = (4, 6), filtered: bool = False) -> None:
        """Make the guests, two if no names are said, and the bridge.

        ``filtered``: what is bridged goes through the rules for what is routed as well.
        """
        super().__init__(net, families)
        if filtered:
            net.filter_bridges()
        for name in names or ("a", "b"):
            self.guests[name] = net.guest(name)
        net.plain_bridge(self.bridge, *(guest.port for guest in self.guests.values()))
        net.remove_in_the_end(self.bridge)
        net.add_address(self.bridge, *(f"{self._address(1, one)}/{_PREFIX[one]}" for one in families))
        for name, guest in self.guests.items():
            for family in families:
                net.add_neighbour(self.bridge, self.address(name, family), guest.mac)
        net.look.rest()
        self._mac = net.look.mac(self.bridge)

    def address(self, name: str, family: int = 4) -> str:
        """Return a guest's address, or for ``"host"`` the bridge's."""
        return self._address(1 if name == HOST else list(self.guests).index(name) + 2, family)

    def network(self, name: str, family: int = 4) -> str:
        """Return the network that all are in."""
        return "10.1.0.0/24" if family == 4 else "fd01::/64"

    def gateway(self, name: str, family: int = 4) -> str:
        """Return the bridge's address."""
        return self._address(1, family)

    def device(self, name: str) -> str:
        """Return the bridge."""
        return self.bridge

    def mac_towards(self, sender: str, receiver: str) -> str:
        """Return the receiver's own MAC address."""
        return self._mac if receiver == HOST else self.guests[receiver].mac

    def wake(self, name: str) -> None:
        """Have a guest's kernel own its addresses."""
        self.guests[name].wake(*self._with_lengths(name))

    @staticmethod
    def _address(host: int, family: int) -> str:
        return f"10.1.0.{host}" if family == 4 else f"fd01::{host:x}"
