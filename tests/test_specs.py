"""The specs as a whole: the manifest, the levels, and that each can be failed by somebody."""

import inspect
import re

import pytest

from conformance import mutants, spec
from conformance.collector import spec_functions

SPECS = spec.collect()


def test_the_manifest_is_what_the_modules_say():
    assert spec.manifest() == SPECS, "run 'make manifest' and commit the result"


def test_there_are_enough_of_them():
    assert len(SPECS) >= 60
    assert len(mutants.all_mutants()) >= 40


@pytest.mark.parametrize("one", SPECS, ids=lambda one: one.id)
def test_a_spec_is_one_sentence_with_a_stable_id(one):
    assert re.fullmatch(r"[A-Z]{2}-\d\d", one.id)
    assert one.sentence.endswith(".")
    assert one.level in spec.LEVELS


def test_every_spec_takes_the_driver_and_the_sandbox():
    for function in spec_functions():
        assert list(inspect.signature(function).parameters) == ["netdev", "net"], function.__name__


def test_every_spec_is_claimed_by_a_mutant_and_every_claim_is_of_a_spec():
    claimed = {spec_id for one in mutants.all_mutants() for spec_id in one.kills}
    assert claimed == {one.id for one in SPECS}


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


def test_levels_include_those_before_them():
    core = {one.id for one in spec.select(SPECS, level="core")}
    assert core < {one.id for one in spec.select(SPECS, level="full")}
