"""What stands between a spec and the firewall under test: the witness, and who takes back what was made."""

import pytest

from conformance.harness import FirewallUnderTest, within
from refnet.errors import InvalidArgument, LockTimeout, ToolMissing
from refnet.firewall import DROP, Rule
from refnet.firewall.null import NullFirewall


class Remembering(NullFirewall):
    """Remembers who removed what is his, and who was closed."""

    removed: list
    closed: list

    def __init_subclass__(cls):
        cls.removed, cls.closed = [], []

    def _remove_all(self):
        self.removed.append(self.owner)

    def close(self):
        self.closed.append(self.owner)


@pytest.fixture
def tested():
    return type("Tested", (Remembering,), {})


def test_all_that_a_spec_made_is_taken_back_the_newest_first(tested):
    one = FirewallUnderTest(tested)
    one.fresh("other")
    one.fresh()
    one.take_back()
    assert tested.removed == ["suite", "other", "suite"]
    assert sorted(tested.closed) == ["other", "suite", "suite"]


def test_what_a_closed_manager_has_left_another_of_its_owner_takes_back(tested):
    one = FirewallUnderTest(tested)
    with one.fresh("other"):
        pass
    one.take_back()
    assert sorted(tested.removed) == ["other", "suite"]
    assert tested.closed.count("other") == 2


def test_the_clean_up_of_all_is_tried_and_what_failed_is_told(tested):
    class Stubborn(tested):
        def _remove_all(self):
            super()._remove_all()
            if self.owner == "second":
                raise LockTimeout("it stays")

    one = FirewallUnderTest(Stubborn)
    one.fresh("second")
    with pytest.raises(LockTimeout, match="it stays"):
        one.take_back()
    assert Stubborn.removed == ["second", "suite"]
    assert sorted(Stubborn.closed) == ["second", "suite"]


def test_who_lacks_the_tool_could_not_have_made_anything(tested):
    class Toolless(tested):
        def _remove_all(self):
            raise ToolMissing("there is no such program", tool="nft")

    FirewallUnderTest(Toolless).take_back()


def test_a_clean_up_that_hangs_is_ended_and_nothing_else_is_begun(tested):
    class Hanging(tested):
        def _remove_all(self):
            super()._remove_all()
            while True:
                pass

    one = FirewallUnderTest(Hanging)
    one.fresh("other")
    with pytest.raises(AssertionError, match=r"did not end within 0\.2 s"), within(0.2, "the clean-up"):
        one.take_back()
    assert Hanging.removed == ["other"]


@pytest.mark.parametrize("where", ["apply", "add_rule", "deferred", "close"])
def test_an_exception_without_a_type_fails_the_spec_wherever_it_comes_from(tested, where):
    def broken(*args, **kwargs):
        raise KeyError("inside")

    name = {"apply": "_commit_all", "add_rule": "_render", "deferred": "_commit_all", "close": "close"}[where]
    one = FirewallUnderTest(type("Broken", (tested,), {name: broken}))
    one.add_chain("c", hook="forward")

    def deferred():
        with one.deferred():
            one.apply()

    calls = {"apply": one.apply, "add_rule": lambda: one.add_rule("c", Rule(DROP)), "deferred": deferred}
    with pytest.raises(AssertionError, match="let out a KeyError, which is no RefnetError"):
        calls.get(where, one.close)()
    assert "broke: KeyError" in one.calls[-1]


def test_what_leaves_a_deferred_block_is_what_was_raised_in_it(tested):
    one = FirewallUnderTest(tested)
    with pytest.raises(ZeroDivisionError), one.deferred():
        one.add_chain(f"c{1 // len(one.chains())}", hook="forward")
    assert one.chains() == ()
    with pytest.raises(InvalidArgument), one.deferred():
        one.add_chain("no such name")
    assert any(call.startswith("add_chain('no such name') raised InvalidArgument") for call in one.calls)


def test_calls_are_written_down_as_far_as_one_can_read_them(tested):
    one = FirewallUnderTest(tested)
    one.add_chain("c", hook="forward")
    one.add_rule("c", Rule(DROP, source=[f"10.{high}.{low}.0/24" for high in range(40) for low in range(0, 256, 2)]))
    one.fresh("other").apply()
    assert one.calls[0] == "add_chain('c', hook='forward')"
    assert one.calls[1].startswith("add_rule('c', Rule(Drop(), family=4, source=")
    assert len(one.calls[1]) < 1000
    assert one.calls[2] == "other: apply()"
    assert one.position == "first"
