"""The privileged daemon itself: what it may do, and what it does once before it serves its first call.

oslo.privsep makes the daemon out of :data:`context`, either by fork or in a process of its own
(``privsep-helper --privsep_context refnet.privsep.contexts.context``).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities as caps
from oslo_privsep import daemon as oslo_daemon
from oslo_privsep import priv_context

from refnet import config, oslo_options
from refnet.errors import KernelRefused

#: What the daemon, and each program that it starts, may do (capabilities(7)); docs/privileges.md says what for.
CAPABILITIES = (
    caps.CAP_DAC_OVERRIDE,
    caps.CAP_KILL,
    caps.CAP_NET_ADMIN,
    caps.CAP_NET_BIND_SERVICE,
    caps.CAP_NET_RAW,
    caps.CAP_SETGID,
    caps.CAP_SETUID,
)

_PR_CAPBSET_DROP = 24  # linux/prctl.h
#: Of the environment, what has a say in where refnet looks and what it loads; oslo.config reads OS_<GROUP>__<OPTION>.
_OURS = ("REFNET_", "OVS_", "OS_REFNET")
_KINDS = ("netdev", "firewall", "dhcp")


class _Watched:
    """A channel that tells callers of its end, however it ends.

    oslo.privsep tells them of an end of file, but not of a connection that is reset, as that of a daemon is which was
    killed with something unread: they would wait for ever.
    """

    reader_thread: threading.Thread
    lock: threading.Lock
    outstanding_msgs: dict[str, Any]
    running: bool

    def exchange_ping(self) -> None:
        """Watch from the first message on."""
        threading.Thread(target=self._tell_of_the_end, name="refnet privsep", daemon=True).start()
        super().exchange_ping()  # type: ignore[misc]

    def _tell_of_the_end(self) -> None:
        self.reader_thread.join()
        with self.lock:
            self.running = False
            for waiting in self.outstanding_msgs.values():
                waiting.set_exception(ConnectionResetError("the privileged daemon has ended"))


class _Forked(_Watched, oslo_daemon.ForkingClientChannel):  # type: ignore[misc]
    """The channel to a daemon that is forked off this process."""


class _Helped(_Watched, oslo_daemon.RootwrapClientChannel):  # type: ignore[misc]
    """The channel to a daemon that a program starts."""


class Context(priv_context.PrivContext):  # type: ignore[misc]
    """oslo.privsep's context, and refnet's settings of the daemon."""

    channel: Any
    #: Whether the daemon is being made by fork: then it inherits the options of a process that was privileged itself.
    is_forking = False

    def start(self, method: priv_context.Method = priv_context.Method.ROOTWRAP) -> None:
        """Start the daemon, if this process has none."""
        with self.start_lock:
            if self.channel is None:
                kind = _Forked if method is priv_context.Method.FORK else _Helped
                self.channel = kind(context=self)

    def set_client_mode(self, enabled: bool) -> None:
        """Take over a mode; the daemon calls this once, when it has given up what it is not to have."""
        super().set_client_mode(enabled)
        # Tests of callers call it as well, with whatever they may do themselves.
        if not enabled and set(caps.get_caps()[1]) == set(self.conf.capabilities):
            os.umask(0o022)
            _bind_programs(frozenset(self.conf.capabilities) - {caps.CAP_SETPCAP})
            _take_options(is_inherited=self.is_forking)


def _forget_environment() -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            del os.environ[name]


# Only privsep-helper has this option. Its process becomes the daemon, and who started it has no say beyond the command
# line; but oslo.config reads the environment, and files below HOME, as well. None of refnet's options is read yet.
if str(getattr(cfg.CONF, "privsep_context", "")).startswith("refnet."):
    _forget_environment()
    cfg.CONF(sys.argv[1:], project="privsep", default_config_files=[], default_config_dirs=[])

#: CAP_SETPCAP is for a moment: the daemon gives up with it what its programs are not to have, and then it itself.
context = Context(
    "refnet",
    cfg_section=oslo_options.PRIVILEGED,
    pypath="refnet.privsep.contexts.context",
    capabilities=[*CAPABILITIES, caps.CAP_SETPCAP],
)


def _forget_channel() -> None:
    """Leave the daemon to the process that has it: two cannot read one channel, and a call would wait for ever."""
    context.channel = None
    context.start_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_channel)


def _bind_programs(kept: frozenset[int]) -> None:
    """Take all other capabilities out of reach: root would get each of them back with the next program that it starts.

    Raises:
        KernelRefused: the daemon may not do that: [refnet_privileged] capabilities lacks CAP_SETPCAP.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    for number in range(last + 1):
        if number not in kept and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            words = os.strerror(ctypes.get_errno())
            raise KernelRefused(
                f"capability {number} cannot be taken from the daemon's programs: {words}; "
                f"[{oslo_options.PRIVILEGED}] capabilities needs CAP_SETPCAP, which the daemon then gives up",
                errno=ctypes.get_errno(),
                detail=words,
            )
    caps.drop_all_caps_except(kept, kept, [])


def _take_options(*, is_inherited: bool) -> None:
    """Settle what is used here by what a privileged hand has written: nothing of it can be chosen by a call.

    That is the configuration files; of a forked daemon also what its process had set before the fork.
    """
    if is_inherited:
        before = {kind: config.choice(f"refnet.{kind}") for kind in _KINDS}
        before |= {"ovsdb": config.ovsdb(), "dhcp_directory": config.dhcp_directory() or ""}
    else:
        before = dict.fromkeys((*_KINDS, "ovsdb", "dhcp_directory"), "")
    oslo_options.register(cfg.CONF)
    chosen = before | {name: value for name, value in oslo_options.read(cfg.CONF).items() if value}
    _forget_environment()
    for kind in _KINDS:
        if config.is_privsep(f"refnet.{kind}", chosen[kind]):
            chosen[kind] = ""  # the daemon does it itself, with the platform's own
    config.configure(**chosen)
