"""The kept connection to Open vSwitch's database, and changes that are waited for.

A change is planned from the database as it is, carried out in one transaction, and done when ovs-vswitchd has taken it
over: every transaction adds one to ``next_cfg``, and the switch writes that number into ``cur_cfg`` when it has done
what stood in the database at that moment (ovs-vswitchd.conf.db(5)). What it will not do is taken back.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from refnet import config
from refnet.errors import InvalidArgument, LockTimeout, PermissionDenied, RefnetError, SwitchRefused, SwitchUnreachable
from refnet.netdev.model import Capability
from refnet.netdev.ovs.operations import Operations, whole
from refnet.netdev.ovs.records import View
from refnet.netdev.ovs.undo import Written, put_back

if TYPE_CHECKING:
    from refnet.netdev.ovs.replica import Replica

T = TypeVar("T")

#: Seconds for an answer: of the database, of the switch to a change, and for a server that is being restarted. A busy
#: switch takes some milliseconds; one whose database was restarted comes back after up to eight seconds
#: (ovsdb-idl's back-off, lib/reconnect.h).
ANSWER = 10.0
#: Seconds to wait for other threads of this driver, which may be waiting for an answer to the same question.
_PATIENCE = 60.0
#: Other callers may change the same rows between a look and a transaction; more often than this is a fault.
_ATTEMPTS = 20
#: Seconds for those who do not wait: a connection that has been lost since the last call is made again, and a server
#: that was silent the last time may have come to itself.
_RETRY = 1.0
_POLL = 0.02


class Database:
    """One connection, made at the first call and kept, which threads share; see :meth:`run`."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._owner = os.getpid()
        self._connecting = threading.Lock()
        self._replica: Replica | None = None
        self._place = ""
        self._known = False
        # When a connection was last tried in vain, since the server was silent, and for how many seconds.
        self._silence: tuple[float, float] | None = None

    def run(self, work: Callable[[Session], T], *, patient: bool = True) -> T:
        """Do ``work`` with a connection to a switch that lives; again from the start where the connection breaks.

        Without ``patient`` nothing that is down now is waited for, nor a server that has been silent before.

        Raises:
            SwitchUnreachable: there is no database, or no ovs-vswitchd at it, or one of them does not answer.
            PermissionDenied: this process may not connect to it.
        """
        library = _library()
        session = Session()
        deadline = time.monotonic() + (ANSWER if patient else _RETRY)
        has_lost_one = False
        while True:
            patience = ANSWER if patient or self._silence is None else _RETRY
            replica: Replica | None = None
            try:
                replica = session.replica = self._connected(patience)
                return session.do(self._behind_daemon(work, deadline if patient else 0.0, patience))
            except library.Lost as lost:
                if replica is not None and patient and not has_lost_one:
                    # The time that a restart may take begins with the first loss.
                    has_lost_one, deadline = True, time.monotonic() + ANSWER
                # A server that was there a moment ago is being restarted; one that never was is not there.
                if not self._known or time.monotonic() >= deadline:
                    self._known = False
                    raise self._unreachable(lost) from None
                time.sleep(_POLL)
            except library.Silent:
                # What it was asked it may still answer: on this connection nobody would know to what.
                if replica is not None:
                    replica.close()
                    self._silence = time.monotonic(), patience
                raise SwitchUnreachable(
                    f"Open vSwitch's database at {self._place} does not answer within {patience:g} s: "
                    "see whether ovsdb-server is stopped or hangs",
                    capability=Capability.OVS.value,
                    errno=errno.ETIMEDOUT,
                ) from None
            except library.Refused as refused:
                raise SwitchUnreachable(
                    f"the server at {self._place} is no Open vSwitch's: {refused}",
                    capability=Capability.OVS.value,
                    detail=str(refused),
                ) from None

    def close(self) -> None:
        """Close the connection; the next call makes one."""
        with self._alone():
            self._drop()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only thread that makes or drops a connection."""
        if self._owner != os.getpid():
            # After a fork the connection is the parent's: this process only closes its copy of the descriptor, which
            # says nothing to the server. The locks may be held for ever here, by threads that were not copied.
            self._owner, self._connecting = os.getpid(), threading.Lock()
            replica, self._replica = self._replica, None
            if replica is not None:
                replica.drop_copy()
        connecting = self._connecting
        if not connecting.acquire(timeout=_PATIENCE):
            raise LockTimeout(f"another thread has been connecting to Open vSwitch for {_PATIENCE:g} s")
        try:
            yield
        finally:
            connecting.release()

    def _connected(self, patience: float) -> Replica:
        arrived = time.monotonic()
        with self._alone():
            place = config.ovsdb()
            if self._replica is not None and (place != self._place or not self._replica.is_usable()):
                self._drop()
            if self._replica is None:
                if place != self._place:
                    self._place, self._known, self._silence = place, False, None
                if not place.startswith(("unix:", "tcp:", "ssl:")):
                    raise InvalidArgument(
                        f"Open vSwitch's database {place!r} is no connection method such as "
                        "'unix:/var/run/openvswitch/db.sock' or 'tcp:127.0.0.1:6640' (REFNET_OVSDB)"
                    )
                library = _library()
                if self._silence is not None and self._silence[0] >= arrived and self._silence[1] >= patience:
                    raise library.Silent  # another thread has tried, while this one waited for it
                try:
                    self._replica = library.Replica(place, time.monotonic() + patience)
                except library.Silent:
                    self._silence = time.monotonic(), patience
                    raise
                self._known, self._silence = True, None
            return self._replica

    def _behind_daemon(self, work: Callable[[Session], T], deadline: float, patience: float) -> Callable[[Session], T]:
        """Return the work with a look before it whether ovs-vswitchd is there: nothing is written for nobody."""

        def work_if_there(session: Session) -> T:
            while not session.replica.daemon_is_there(time.monotonic() + patience):
                if time.monotonic() >= deadline:
                    raise SwitchUnreachable(
                        f"the database at {self._place} answers, and no ovs-vswitchd is connected to it: start it "
                        "(Debian: systemctl start openvswitch-switch; FreeBSD: service ovs-vswitchd start)",
                        capability=Capability.OVS.value,
                    )
                time.sleep(_POLL)
            return work(session)

        return work_if_there

    def _drop(self) -> None:
        replica, self._replica = self._replica, None
        if replica is not None:
            replica.close()

    def _unreachable(self, lost: Exception) -> RefnetError:
        number = getattr(lost, "errno", 0)
        if number in (errno.EACCES, errno.EPERM):
            return PermissionDenied(
                f"Open vSwitch's database at {self._place} may not be opened by this process ({lost}): root may",
                errno=number,
                detail=str(lost),
            )
        return SwitchUnreachable(
            f"no Open vSwitch answers at {self._place} ({lost}): install and start it (Debian: package "
            "openvswitch-switch; FreeBSD: package openvswitch), or say where it is (REFNET_OVSDB)",
            capability=Capability.OVS.value,
            errno=number or None,
            detail=str(lost),
        )


class Session:
    """A call's work with the database: it remembers what the call has written, and over what."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.replica: Replica
        self._written = Written()
        self._has_written = False

    @property
    def view(self) -> View:
        """The database as it is now."""
        return self.replica

    def do(self, work: Callable[[Session], T]) -> T:
        """Do the call's work, and take back what was written where it fails."""
        try:
            return work(self)
        except (_library().Lost, _library().Silent):
            raise
        except BaseException as error:
            try:
                # One that is interrupted does not wait, and neither do others for a switch that does nothing.
                self.take_back(wait=isinstance(error, Exception) and not isinstance(error, SwitchUnreachable))
            except (_library().Lost, _library().Silent):
                # The call is made again on another connection, unless it has been interrupted.
                if isinstance(error, Exception):
                    raise
                self.replica.close()
            raise

    def apply(
        self,
        make: Callable[[View], Operations],
        note: str,
        *,
        ports: tuple[str, ...] = (),
        bridge: str = "",
        anyway: bool = False,
    ) -> bool:
        """Carry out what ``make`` plans, and wait until the switch has; return whether there was anything to do.

        ``note`` is for the database's log. ``ports`` and ``bridge`` are what the plan is about: where the call fails
        :meth:`take_back` deletes those that it has made, and makes the ports again that it has deleted. With ``anyway``
        the switch is told to look even at nothing new.

        Raises:
            SwitchUnreachable: the switch has not done it in time.
            SwitchRefused: the database has refused it.
        """
        refusal = ""
        for _ in range(_ATTEMPTS):
            operations = make(self.view)
            if not operations and not anyway:
                if self._has_written:
                    # The connection broke behind a transaction; it is done, and the switch may not have come to it.
                    self.catch_up()
                return False
            before = self._written, self._has_written
            self._written, self._has_written = self._written.then(self.view, operations, ports, bridge), True
            try:
                number, answers = self._commit(operations, note)
            except _library().Refused as refused:
                self._written, self._has_written = before
                refusal = str(refused)
                if not refused.again:
                    break
                self.refresh()
                continue
            self._written = self._written.answered(operations, answers)
            self._taken_over(number)
            return True
        raise SwitchRefused(f"Open vSwitch's database has refused: {refusal}", detail=refusal)

    def alive(self) -> None:
        """See that the switch does what it is told, by a transaction that tells it nothing.

        Raises:
            SwitchUnreachable: it does not.
        """
        self.apply(lambda view: [], "refnet: is the switch alive?", anyway=True)

    def catch_up(self) -> None:
        """Wait until the switch has done all that stands in the database now.

        Raises:
            SwitchUnreachable: it does not.
        """
        self._taken_over(int(self.view.root.columns["next_cfg"]))

    def refresh(self) -> None:
        """See that what stands in the database at this moment is in the view."""
        self.replica.daemon_is_there(time.monotonic() + ANSWER)

    def wait_for(self, done: Callable[[], bool]) -> bool:
        """Take in what the switch tells until ``done``, or until it should have been."""
        try:
            self.replica.wait_for(done, time.monotonic() + ANSWER)
        except _library().Silent:
            return False
        return True

    def take_back(self, *, wait: bool) -> None:
        """Undo what the call has written, unless others have written over it since; with ``wait`` until it is done."""
        for _ in range(_ATTEMPTS if self._has_written else 0):
            # A call that was interrupted has not seen yet what comes of its transaction.
            self.refresh()
            operations = put_back(self.view, self._written)
            if not operations:
                break
            try:
                number, _ = self._commit(operations, "refnet takes back what the switch would not do")
            except _library().Refused as refused:
                if not refused.again:
                    break
                continue
            if wait:
                self.wait_for(functools.partial(self._done, number))
            break
        self._written, self._has_written = Written(), False

    def _commit(self, operations: Operations, note: str) -> tuple[int, list[dict[str, Any]]]:
        """Carry out one transaction; return the number by which the switch will tell that it is done, and answers."""
        root = whole(self.view.root)
        number: list[dict[str, Any]] = [
            {"op": "mutate", "table": "Open_vSwitch", "where": root, "mutations": [["next_cfg", "+=", 1]]},
            {"op": "select", "table": "Open_vSwitch", "where": root, "columns": ["next_cfg"]},
            {"op": "comment", "comment": note},
        ]
        answers = self.replica.transact([*operations, *number], time.monotonic() + ANSWER)
        return int(answers[-2]["rows"][0]["next_cfg"]), answers

    def _taken_over(self, number: int) -> None:
        if self.wait_for(lambda: self._done(number)):
            return
        raise SwitchUnreachable(
            f"ovs-vswitchd has not taken over the change within {ANSWER:g} s, so it has been taken back: see whether "
            "it is stopped or hangs",
            capability=Capability.OVS.value,
            errno=errno.ETIMEDOUT,
        )

    def _done(self, number: int) -> bool:
        return int(self.view.root.columns["cur_cfg"]) >= number


def _library() -> ModuleType:
    """Import what speaks to the database, at the first call that needs it."""
    try:
        return importlib.import_module("refnet.netdev.ovs.replica")
    except ImportError as error:
        raise SwitchUnreachable(
            f"the Python library 'ovs' cannot be imported ({error}): install it "
            "(pip install ovs; Debian: package python3-openvswitch)",
            capability=Capability.OVS.value,
            detail=str(error),
        ) from None
