"""Wrong about what ports of Open vSwitch do with VLANs."""

from __future__ import annotations

from typing import Any

from conformance.mutants import mutant
from conformance.mutants.ovs import vsctl
from refnet.netdev.driver import NetDevDriver

Words = dict[str, Any]


def with_words(base: Any, change: Any) -> type[NetDevDriver]:
    """Return a driver that changes what is said of a port's VLANs before it takes it in."""

    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **change(words))

        def set_ovs_port_vlan(self, dev: str, **words: Any) -> None:
            super().set_ovs_port_vlan(dev, **change(words))

    return Wrong


def without(words: Words, *names: str) -> Words:
    """Return the words but for some."""
    return {name: value for name, value in words.items() if name not in names}


@mutant(
    "ovs-tag-ignored",
    "makes every port one of all tags",
    {
        "OV-31": "and the port of VLAN 5 answers",
        "OV-40": "from a port with tag 5 to a trunk",
        "OV-42": "and six got it",
        "OV-43": "what goes to all of another VLAN",
    },
)
def ovs_tag_ignored(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: without(words, "tag"))


@mutant(
    "ovs-tag-of-a-byte",
    "keeps eight bits of the tag",
    {"OV-40": "from a port with tag 4094 to a trunk"},
)
def ovs_tag_of_a_byte(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: {**words, "tag": words["tag"] & 0xFF} if words.get("tag") else words)


@mutant(
    "ovs-takes-guests-tags",
    "makes an access port by the mode in which guests may send tags of their own",
    {"OV-41": "with tag 5, to a guest of the same VLAN"},
)
def ovs_takes_guests_tags(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            if words.get("tag") and not words.get("trunks"):
                vsctl("set", "Port", dev, "vlan_mode=native-untagged")

    return Wrong


@mutant(
    "ovs-tags-doubled",
    "tunnels the tags that guests send through their VLAN (dot1q-tunnel)",
    {"OV-41": "with tag 5, to a guest of the same VLAN"},
)
def ovs_tags_doubled(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            if words.get("tag") and not words.get("trunks"):
                vsctl("set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
                vsctl("set", "Port", dev, "vlan_mode=dot1q-tunnel")

    return Wrong


@mutant(
    "ovs-hub",
    "has a bridge learn no addresses in the VLANs that it knows of",
    {
        "OV-21": "a frame to a learned address: a sent",
        "OV-44": "at another port of the VLAN: five sent",
    },
)
def ovs_hub(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def ensure_ovs_bridge(self, bridge: str, **options: Any) -> None:
            super().ensure_ovs_bridge(bridge, **options)
            vsctl("set", "Bridge", bridge, "flood_vlans=0,5,6")

    return Wrong


@mutant(
    "ovs-dead-vlan-off",
    "takes tag 4095 for none",
    {"OV-45": "from tag 5 to tag 4095"},
)
def ovs_dead_vlan_off(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: without(words, "tag") if words.get("tag") == 4095 else words)


@mutant(
    "ovs-access-by-default",
    "makes a port of which nothing is said an access port of VLAN 1",
    {"OV-46": "with tag 1: a frame to"},
)
def ovs_access_by_default(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: words if words.get("tag") or words.get("trunks") else {**words, "tag": 1})


@mutant(
    "ovs-trunks-ignored",
    "lets all tags pass a trunk",
    {
        "OV-47": "from a trunk with a tag that is none of its",
        "OV-52": "as a trunk of tag 6, from the VLAN that it was in",
    },
)
def ovs_trunks_ignored(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: without(words, "trunks"))


@mutant(
    "ovs-mode-left-to-the-switch",
    "writes tag and trunks, and no mode: for the switch that is an access port",
    {"OV-48": "from plain with a tag of its trunks", "OV-49": "from a native-tagged port with its own tag"},
)
def ovs_mode_left_to_the_switch(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            vsctl("clear", "Port", dev, "vlan_mode")

    return Wrong


@mutant(
    "ovs-one-native-mode",
    "takes the two native modes for one",
    {"OV-49": "to a native-tagged port from its own VLAN: a frame to"},
)
def ovs_one_native_mode(base: Any) -> type[NetDevDriver]:
    return with_words(base, lambda words: without(words, "vlan_mode"))


@mutant(
    "ovs-retag-forgotten",
    "takes a new tag, and writes none",
    {
        "OV-50": "in VLAN 6, as soon as the tag is set: a frame to",
        "OV-52": "as a trunk of tag 6: a frame to",
    },
)
def ovs_retag_forgotten(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_ovs_port_vlan(self, dev: str, **words: Any) -> None:
            super().ovs_port(dev)

    return Wrong


@mutant(
    "ovs-first-tag-stays",
    "leaves the VLAN of a port that is there as it is",
    {"OV-51": "in VLAN 6, as soon as the tag is set: a frame to"},
)
def ovs_first_tag_stays(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            if dev in super().ovs_ports(bridge):
                there = super().ovs_port(dev)
                words |= {"tag": there.tag, "trunks": there.trunks, "vlan_mode": there.vlan_mode}
            super().create_ovs_vif_port(bridge, dev, *ids, **words)

    return Wrong


@mutant(
    "ovs-old-words-stay",
    "adds what is said of a living port's VLANs to what it has",
    {"OV-52": "as a trunk of tag 6, without a tag: a frame to"},
)
def ovs_old_words_stay(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def set_ovs_port_vlan(self, dev: str, **words: Any) -> None:
            there = super().ovs_port(dev)
            super().set_ovs_port_vlan(dev, **{"tag": there.tag, "trunks": there.trunks, **words})

    return Wrong


@mutant(
    "ovs-unsaid-is-none",
    "takes the VLANs off a port that is asked for again without a word of them",
    {"OV-53": "a port that is asked for again: the frames from guest to five no longer arrive"},
)
def ovs_unsaid_is_none(base: Any) -> type[NetDevDriver]:
    class Wrong(base):  # type: ignore[misc]
        def create_ovs_vif_port(self, bridge: str, dev: str, *ids: Any, **words: Any) -> None:
            super().create_ovs_vif_port(bridge, dev, *ids, **words)
            if not words:
                super().set_ovs_port_vlan(dev)

    return Wrong
