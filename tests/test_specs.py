"""The specs as a whole: the manifest, the levels, and that each can be failed by somebody."""

import dataclasses
import inspect
import re

import pytest

from conformance import interfaces, mutants, refusals, spec
from conformance.collector import spec_functions
from refnet.firewall.null import NullFirewall
from refnet.netdev.linux import LinuxNetDevDriver

SPECS = spec.collect()


def test_the_manifest_is_what_the_modules_say():
    assert spec.manifest() == SPECS, "run 'make manifest' and commit the result"


def test_there_are_enough_of_them():
    assert len(SPECS) >= 60
    assert len(mutants.all_mutants()) >= 40


@pytest.mark.parametrize("one", SPECS, ids=lambda one: one.id)
def test_a_spec_is_one_sentence_with_a_stable_id(one):
    assert re.fullmatch(r"[A-Z][A-Z0-9]-\d\d", one.id)
    assert one.sentence.endswith(".")
    assert one.level in spec.LEVELS


def test_every_spec_takes_what_it_judges_what_it_uses_besides_and_the_sandbox():
    for function in spec_functions():
        area = spec.of(function).area
        allowed = [[area, *used, "net"] for used in ([], *([one] for one in interfaces.ALL[area].uses))]
        assert list(inspect.signature(function).parameters) in allowed, function.__name__


def test_every_capability_that_a_spec_uses_is_one_of_its_interface():
    for one in SPECS:
        assert set(one.capabilities) <= set(interfaces.ALL[one.area].names()), one.id


def test_no_two_interfaces_have_a_capability_of_the_same_name_and_each_can_be_exercised_for_refusal():
    names = [name for one in interfaces.ALL.values() for name in one.names()]
    assert sorted(names) == sorted(set(names)) == sorted(refusals.EXERCISES)


def test_every_spec_is_claimed_by_a_mutant_and_every_claim_is_of_a_spec():
    claimed = {spec_id for one in mutants.all_mutants() for spec_id in one.kills}
    assert claimed == {one.id for one in SPECS}


def test_a_mutant_is_caught_by_specs_of_the_interface_that_it_gets_wrong():
    area_of = {one.id: one.area for one in SPECS}
    for one in mutants.all_mutants():
        assert {area_of[spec_id] for spec_id in one.kills} == {one.area}, one.name


def test_a_mutant_that_needs_a_class_s_inner_workings_is_elsewhere_on_another():
    class Theirs(LinuxNetDevDriver):
        pass

    one = mutants.Mutant("m", "is wrong", {}, lambda base: base, systems=(), bases=("LinuxNetDevDriver",))
    assert one.elsewhere("Linux", interfaces.of_refnet(Theirs)) == ""
    words = one.elsewhere("Linux", interfaces.of_refnet(NullFirewall))
    assert words == "the wrong driver is made from LinuxNetDevDriver, and the class under test is none"
    assert "about FreeBSD, and this is Linux" in dataclasses.replace(one, systems=("FreeBSD",)).elsewhere("Linux", ())


def test_every_mutant_promises_words():
    for one in mutants.all_mutants():
        assert one.wrong, one.name
        for spec_id, words in one.kills.items():
            assert len(words) >= 8, f"{one.name} promises too little for {spec_id}: {words!r}"


def test_the_hash_changes_with_any_sentence():
    changed = spec.Spec(**{**{field: getattr(SPECS[0], field) for field in SPECS[0].__slots__}, "sentence": "Else."})
    assert spec.manifest_hash([changed, *SPECS[1:]]) != spec.manifest_hash(SPECS)


def test_selecting_an_unknown_id_is_refused():
    with pytest.raises(ValueError, match="no such spec: XX-99"):
        spec.select(SPECS, only=["XX-99"])


def test_areas_are_selected_and_what_is_of_another_one_is_refused():
    assert {one.area for one in spec.select(SPECS, areas=["netdev"])} == {"netdev"}
    assert spec.select(SPECS, areas=tuple(interfaces.ALL)) == SPECS
    assert spec.select(SPECS, only=["BR-01"], areas=["netdev"])[0].id == "BR-01"
    with pytest.raises(ValueError, match="BR-01: of another area than firewall"):
        spec.select(SPECS, only=["BR-01"], areas=["firewall"])
    with pytest.raises(ValueError, match="no such area: 'dns'; expected one of netdev, firewall"):
        spec.select(SPECS, areas=["dns"])


def test_levels_include_those_before_them():
    core = {one.id for one in spec.select(SPECS, level="core")}
    assert core < {one.id for one in spec.select(SPECS, level="full")}
