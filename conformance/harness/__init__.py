"""What is under test, as the specs see it: every call is written down, judged by its errors, and taken back."""

from conformance.harness.base import Call, UnderTest
from conformance.harness.dhcp import DhcpUnderTest
from conformance.harness.firewall import OWNER, FirewallUnderTest
from conformance.harness.netdev import DriverUnderTest
from conformance.harness.processes import in_child, in_children, within

__all__ = [
    "OWNER",
    "Call",
    "DhcpUnderTest",
    "DriverUnderTest",
    "FirewallUnderTest",
    "UnderTest",
    "in_child",
    "in_children",
    "within",
]
