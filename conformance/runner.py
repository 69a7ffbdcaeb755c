"""Runs specs: sandbox, driver, the spec itself or the refusal in its place, evidence, and the outcome."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest

from conformance import features, interfaces, mutants, refusals, system
from conformance import spec as specs
from conformance.environments import inside
from conformance.errors import SuiteError
from conformance.features import switches
from conformance.harness import UnderTest, within
from conformance.oracles.state import State, as_diff, difference
from conformance.outcome import Outcome
from conformance.spec import Spec
from conformance.topology import frames
from conformance.topology.sandbox import ARRIVAL_LIMIT, Sandbox
from conformance.verdict import Status
from refnet.errors import RefnetError
from refnet.netdev import Capability

#: The name of the property in which an outcome travels with pytest's report.
PROPERTY = "refnet-outcome"
_MUTANT = "_mutant"
#: Seconds to wait for what a mutant may well withhold; with the promised words, a late arrival is no false kill.
_MUTANT_LIMIT = 1.0
#: Seconds for a driver to take back what a spec has made.
_CLEAN_UP_LIMIT = 60.0
#: Seconds for what belongs to a server that has ended to end as well.
_ENDING_LIMIT = 5.0


class _Item:
    """What the runner remembers of a spec while it is run."""

    def __init__(self) -> None:
        self.sandbox: Sandbox | None = None
        #: By area: what the spec's fixtures have made.
        self.made: dict[str, UnderTest] = {}
        #: The one of them that the spec judges.
        self.judged: UnderTest | None = None
        self.unsupported = ""
        self.is_elsewhere = False
        self.before: State | None = None
        self.evidence: dict[str, bytes] = {}


class Runner:
    """The part of the plugin that lives in each process that runs specs."""

    def __init__(self, config: pytest.Config) -> None:
        """Load the classes under test; that they can be loaded has been seen before the run."""
        self.config = config
        self._classes: dict[str, type] = {}
        for area in areas_of(config):
            self._class(area)
        self._items: dict[str, _Item] = {}
        self._declared: dict[tuple[type, bool], frozenset[str]] = {}

    # -- before ---------------------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        """Give this worker what its sandboxes stand on."""
        system.half("conformance.topology").prepare()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """In a run of mutants, run each spec once with each mutant that it claims to catch."""
        one = specs.of(metafunc.function)
        wanted = self.config.option.conformance_mutants
        if one is None or not wanted:
            return
        names = [mutant.name for mutant in mutants.all_mutants() if one.id in mutant.kills]
        if wanted != "all":
            names = [name for name in names if name in wanted.split(",")]
        metafunc.fixturenames.append(_MUTANT)
        metafunc.parametrize(_MUTANT, names)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the specs that were asked for.

        Raises:
            pytest.UsageError: a test function among the specs is no spec.
        """
        if config.option.conformance_jailed is not None:
            return  # one spec, which was chosen by its place: to import all the others would take longer than to run it
        only = tuple(filter(None, config.option.conformance_only.split(",")))
        level, areas = config.option.conformance_level, tuple(config.option.conformance_area)
        wanted = {one.id for one in specs.select(specs.collect(), only=only, level=level, areas=areas)}
        kept: list[pytest.Item] = []
        left: list[pytest.Item] = []
        for item in items:
            one = spec_of(item)
            if one is None:
                raise pytest.UsageError(f"{item.nodeid} is among the specs and is none: it has no id and no sentence")
            runs = not config.option.conformance_mutants or isinstance(mutant_of(item), str)
            (kept if one.id in wanted and runs else left).append(item)
        items[:] = kept
        config.hook.pytest_deselected(items=left)

    # -- fixtures -------------------------------------------------------------------------------------

    def sandbox(self, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
        """Lay a sandbox around a spec, and see afterwards that nothing is left in it."""
        item = self._items[request.node.nodeid]
        sandbox: Sandbox = system.half("conformance.topology").Sandbox(
            f"{self.config.option.conformance_seed}:{_one(request.node).id}",
            arrival_limit=_MUTANT_LIMIT if mutant_of(request.node) else ARRIVAL_LIMIT,
        )
        item.sandbox = sandbox
        try:
            for area in interfaces.ordered(set(request.fixturenames) & set(interfaces.ALL)):
                interfaces.ALL[area].prepare(sandbox)
            if needs_switch(_one(request.node)):
                sandbox.open_vswitch()
            item.before = before = sandbox.look.state()
            held_before = sandbox.look.process_state()
            yield sandbox
            sandbox.remove_endpoints()
            left = _left(sandbox, before, held_before)
            if left:
                self._collect(request.node)
                raise AssertionError(f"after the clean-up something is left: {'; '.join(left)}")
        finally:
            item.sandbox = None
            sandbox.remove_endpoints()
            sandbox.leave()

    def under_test(self, area: str, request: pytest.FixtureRequest, net: Sandbox) -> Iterator[UnderTest]:
        """Make an instance of an area's class under test, and have it take back what it has made."""
        item = self._items[request.node.nodeid]
        # What it uses of other interfaces is there before it, and is taken back after it.
        for used in interfaces.ALL[area].uses:
            if used in request.fixturenames:
                request.getfixturevalue(used)
        made = interfaces.ALL[area].under_test(self._class_for(area, request.node))
        item.made[area] = made
        if area == _one(request.node).area:
            item.judged = made
        yield made
        net.let_go()
        with within(_CLEAN_UP_LIMIT, "the driver's clean-up"):
            made.take_back()

    def _class_for(self, area: str, item: pytest.Item) -> type:
        """Return an area's class, or the wrong one that is made from it."""
        name = mutant_of(item)
        plain = self._class(area)
        return mutants.build(name, plain) if name and mutants.named(name).area == area else plain

    def _class(self, area: str) -> type:
        """Return an area's class. One that no spec asks for is not even imported."""
        if area not in self._classes:
            self._classes[area] = interfaces.ALL[area].load(chosen(self.config)[area])
        return self._classes[area]

    # -- running --------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Remember what belongs to one spec for as long as it runs."""
        self._items[item.nodeid] = _Item()
        try:
            return (yield)
        finally:
            del self._items[item.nodeid]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out what is about another system."""
        words = self.elsewhere(item)
        if words:
            self._items[item.nodeid].is_elsewhere = True
            pytest.skip(words)

    def elsewhere(self, item: pytest.Item) -> str:
        """Return why an item has nothing to say of this system, or a mutant of this class; "": it has."""
        one, name = _one(item), mutant_of(item)
        if one.systems and system.NAME not in one.systems:
            return f"it is about {' and '.join(one.systems)}, and this is {system.NAME}"
        if not name:
            return ""
        return mutants.named(name).elsewhere(system.NAME, interfaces.of_refnet(self._class(one.area)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run the spec, or exercise the refusal of what the driver does not declare."""
        one = _one(pyfuncitem)
        item = self._items[pyfuncitem.nodeid]
        judged, sandbox = item.judged, item.sandbox
        if judged is None or sandbox is None:
            raise SuiteError(f"{one.id} takes not both {one.area!r} and 'net'")
        for name in one.capabilities:
            if name not in self._capabilities(judged, sandbox):
                refusals.exercise(name, judged, sandbox)
                said = judged.driver.probe(interfaces.ALL[one.area].capabilities(name))
                item.unsupported = (
                    f"{name}: the driver says {said!r}; the environment: {features.lacking(name) or 'has it'}"
                )
                pytest.skip(item.unsupported)
        for need in one.needs:
            words = features.lacking(need)
            if words:
                item.unsupported = f"{need}: {words}"
                pytest.skip(item.unsupported)
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn a phase into an outcome, with evidence taken before anything is torn down."""
        report = yield
        one = specs.of(getattr(item, "function", None))
        if one is None:
            return report
        memory = self._items[item.nodeid]
        error = call.excinfo.value if call.excinfo else None
        status = _status(one, error, memory)
        if status.rank > Status.PASSED.rank and memory.sandbox is not None:
            self._collect(item)
            if self.config.option.conformance_keep:
                self._hold(one, error, memory.sandbox)
        outcome = Outcome(
            id=one.id,
            status=status,
            message=_words(status, error, memory),
            started=call.start,
            seconds=call.duration,
            worker=os.environ.get("PYTEST_XDIST_WORKER", ""),
            mutant=mutant_of(item),
            traceback=report.longreprtext if report.failed else "",
            calls=memory.judged.calls if memory.judged and status is not Status.PASSED else (),
            evidence=memory.evidence,
        )
        report.user_properties.append((PROPERTY, outcome.plain()))
        return report

    def _capabilities(self, judged: UnderTest, sandbox: Sandbox) -> frozenset[str]:
        # Where a switch runs, a driver can do more.
        key = judged.driver_class, sandbox.switch is not None
        if key not in self._declared:
            self._declared[key] = frozenset(map(str, judged.driver.capabilities()))
        return self._declared[key]

    def _collect(self, item: pytest.Item) -> None:
        """Take down what a person would want to see, before it is gone."""
        memory = self._items.get(item.nodeid)
        if not self.config.option.conformance_evidence or memory is None or memory.sandbox is None:
            return
        texts = dict(memory.sandbox.look.evidence())
        if memory.before is not None:
            texts["state.diff"] = as_diff(memory.before, memory.sandbox.look.state())
        for area, made in memory.made.items():
            name = "calls.txt" if made is memory.judged else f"calls-{area}.txt"
            texts[name] = "".join(f"{call}\n" for call in made.calls)
            texts.update(made.evidence())
        # What has nothing to say (no processes, no calls) is no evidence.
        memory.evidence = {name: text.encode(errors="backslashreplace") for name, text in texts.items() if text}
        for endpoint, captured in memory.sandbox.captures().items():
            memory.evidence[f"{endpoint}.pcap"] = frames.pcap(captured)

    def _hold(self, one: Spec, error: BaseException | None, sandbox: Sandbox) -> None:
        """Keep the sandbox of a failed spec until the person has seen enough."""
        signal.setitimer(signal.ITIMER_REAL, 0)  # the spec's time limit
        words = (
            f"\n{one.id} failed: {_message(error)}\n"
            f"Its sandbox is kept. Look at it from another terminal{_there(self.config)} with\n\n"
            f"    {sandbox.shell(inside.host_pid())}\n\n"
            f"and end it here with Ctrl-C."
        )
        capturing = self.config.pluginmanager.getplugin("capturemanager")
        shown = capturing.global_and_fixture_disabled() if capturing else contextlib.nullcontext()
        # As soon as it is said how to let go, somebody may.
        with shown, contextlib.suppress(KeyboardInterrupt):
            print(words, file=sys.stderr, flush=True)
            while True:
                time.sleep(3600)


def needs_switch(one: Spec) -> bool:
    """Whether a spec is to find an Open vSwitch running: it is about one, and the environment has it."""
    return not {*map(str, switches.OVS)}.isdisjoint(one.capabilities) and not features.lacking(Capability.OVS)


def _left(sandbox: Sandbox, before: State, held_before: State) -> list[str]:
    """Return what is not as it was; a process that is about to end is given the time to."""
    deadline = time.monotonic() + _ENDING_LIMIT
    while True:
        # What an earlier spec's driver has forgotten to close goes with the garbage, some time: it leaves nothing.
        held = difference(held_before, sandbox.look.process_state())
        left = difference(before, sandbox.look.state()) + [one for one in held if not one.endswith(" is gone")]
        if not any(one.startswith("process ") for one in left) or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def chosen(config: pytest.Config) -> Mapping[str, str | None]:
    """Return by area what the command line names as the class under test."""
    return {area: getattr(config.option, area) for area in interfaces.ALL}


def areas_of(config: pytest.Config) -> tuple[str, ...]:
    """Return the areas that are judged: those of the specs that the command line selects.

    Raises:
        ValueError: it selects what is not there.
    """
    only = tuple(filter(None, config.option.conformance_only.split(",")))
    areas = interfaces.ordered(config.option.conformance_area)
    selected = specs.select(specs.manifest(), only=only, level=config.option.conformance_level, areas=areas)
    return areas or specs.areas_of(selected)


def spec_of(item: pytest.Item) -> Spec | None:
    """Return the spec that a test proves, if it does."""
    return specs.of(getattr(item, "function", None))


def mutant_of(item: pytest.Item) -> str | None:
    """Return the name of the mutant that an item is run against, if it is."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(_MUTANT) if callspec else None


def _there(config: pytest.Config) -> str:
    shell: str = config.option.conformance_shell
    return f" (there: '{shell}')" if shell else ""


def _one(item: pytest.Item) -> Spec:
    one = spec_of(item)
    assert one is not None
    return one


def _status(one: Spec, error: BaseException | None, memory: _Item) -> Status:
    """Judge a phase by the exception that ended it.

    An assertion is a verdict on the driver, and so is a typed error that the spec did not expect. Everything else,
    a skip among it, says that the suite has failed to judge.
    """
    if error is None:
        return Status.PASSED
    if _several(error):
        return Status.worst([_status(one, part, memory) for part in _several(error)])
    if isinstance(error, pytest.skip.Exception):
        if memory.is_elsewhere:
            return Status.NOT_APPLICABLE
        return Status.UNSUPPORTED if memory.unsupported else Status.ERROR
    if isinstance(error, AssertionError | RefnetError | pytest.fail.Exception):
        deviations = getattr(memory.judged.driver_class, "known_deviations", {}) if memory.judged else {}
        return Status.KNOWN_DEVIATION if one.id in deviations else Status.FAILED
    return Status.ERROR


def _words(status: Status, error: BaseException | None, memory: _Item) -> str:
    if status is Status.UNSUPPORTED:
        return memory.unsupported
    if status is Status.NOT_APPLICABLE:
        return str(error)
    return _message(error)


def _several(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions of a group: pytest makes one when two clean-ups fail."""
    return getattr(error, "exceptions", ()) if type(error).__name__.endswith("ExceptionGroup") else ()


def _message(error: BaseException | None) -> str:
    if error is None:
        return ""
    if _several(error):
        return "\nand then: ".join(_message(part) for part in _several(error))
    text = str(error).strip()
    if isinstance(error, AssertionError):
        # pytest adds the compared values below; the sentence is the first paragraph.
        return text or "an assertion without words"
    return f"{type(error).__name__}: {text}"


def outcome_in(report: pytest.TestReport) -> Outcome | None:
    """Return the outcome that a report carries."""
    for name, value in report.user_properties:
        if name == PROPERTY:
            entry: Any = value
            return Outcome.from_plain(entry)
    return None
