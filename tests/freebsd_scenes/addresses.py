"""Scenes of addresses."""

from __future__ import annotations

from freebsd_scenes.scene import DUAL, PAIR, ROUTED, Scene
from refnet.errors import Mismatch, NoSuchDevice

SCENES = (
    # -- addresses ------------------------------------------------------------------------------------
    Scene("add_device_address", lambda d: d.add_device_address("epair0a", "192.0.2.1/24"), (PAIR,)),
    Scene("add_device_address again", lambda d: d.add_device_address("epair0a", "192.0.2.5/24"), ROUTED),
    Scene("add_device_address IPv6", lambda d: d.add_device_address("epair0a", "2001:db8::1/64"), (PAIR,)),
    Scene(
        "add_device_address IPv6 where duplicates are not looked for",
        lambda d: d.add_device_address("epair0a", "2001:db8::1/64"),
        (PAIR, "ifconfig epair0a inet6 no_dad"),
    ),
    Scene(
        "add_device_address with another prefix length",
        lambda d: d.add_device_address("epair0a", "192.0.2.5/25"),
        ROUTED,
        raises=Mismatch,
        says="192.0.2.5/24",
    ),
    Scene(
        "add_device_address of nothing", lambda d: d.add_device_address("nosuch0", "192.0.2.1/24"), raises=NoSuchDevice
    ),
    Scene("delete_device_address", lambda d: d.delete_device_address("epair0a", "192.0.2.5/24"), ROUTED),
    Scene("delete_device_address IPv6", lambda d: d.delete_device_address("epair0a", "2001:db8::1/64"), DUAL),
    Scene(
        "delete_device_address that is not there", lambda d: d.delete_device_address("epair0a", "192.0.2.9/24"), ROUTED
    ),
    Scene(
        "delete_device_address of nothing",
        lambda d: d.delete_device_address("nosuch0", "192.0.2.9/24"),
        raises=NoSuchDevice,
    ),
    Scene(
        "delete_device_address of a subnet's last",
        lambda d: d.delete_device_address("epair0a", "192.0.2.5/24"),
        (*ROUTED, "ifconfig epair0a inet 192.0.2.6/24 -alias", "ifconfig epair0a inet 198.51.100.1/24 alias"),
    ),
    Scene("ensure_gateway_address", lambda d: d.ensure_gateway_address("epair0a", "192.0.2.1/24"), ROUTED),
    Scene(
        "ensure_gateway_address that is there",
        lambda d: d.ensure_gateway_address("epair0a", "192.0.2.6/24"),
        ROUTED,
    ),
    Scene(
        "ensure_gateway_address that is first",
        lambda d: d.ensure_gateway_address("epair0a", "192.0.2.5/24"),
        ROUTED,
    ),
    Scene(
        "ensure_gateway_address alone",
        lambda d: d.ensure_gateway_address("epair0a", "192.0.2.1/24"),
        (PAIR,),
    ),
    Scene(
        "ensure_gateway_address IPv6",
        lambda d: d.ensure_gateway_address("epair0a", "2001:db8::9/64"),
        DUAL,
    ),
    Scene(
        "ensure_gateway_address of nothing",
        lambda d: d.ensure_gateway_address("nosuch0", "192.0.2.9/24"),
        raises=NoSuchDevice,
    ),
    Scene(
        "ensure_gateway_address with another prefix length",
        lambda d: d.ensure_gateway_address("epair0a", "192.0.2.6/25"),
        ROUTED,
        raises=Mismatch,
    ),
)
