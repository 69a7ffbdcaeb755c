"""The way from an unprivileged process to the daemon: values there, and values or errors back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from oslo_privsep import daemon as oslo_daemon
from oslo_privsep import priv_context

from refnet import config, oslo_options
from refnet.errors import DriverNotFound, NoAnswer, PermissionDenied
from refnet.privsep.contexts import context
from refnet.privsep.encoding import Plain, decode


def start() -> None:
    """Fork the daemon off this process, which still may do all, and have refnet's work done by it from here on.

    To be called early, before there are threads, and once; then the process gives its privileges up (setresuid(2)). The
    daemon's drivers are those that are chosen now. It works on this thread's network stack, and ends with this process.

    Raises:
        PermissionDenied: the daemon could not be made: the process lacks one of its capabilities.
    """
    if context.channel is not None:
        use()
        return
    process = os.getpid()
    context.is_forking = True
    try:
        context.start(priv_context.Method.FORK)
    except BaseException as error:
        if os.getpid() != process:
            # The daemon could not become one, and must not go on as a second one of its caller's.
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(error, oslo_daemon.FailedToDropPrivileges):
            _not_started(error)
        raise
    finally:
        context.is_forking = False
    use()


def use() -> None:
    """Have refnet's work in this process done by the daemon, which the first call starts if it does not run.

    oslo.privsep does that by ``[refnet_privileged] helper_command``, by default ``sudo privsep-helper``.
    """
    config.configure(netdev=config.PRIVSEP, firewall=config.PRIVSEP, dhcp=config.PRIVSEP)


def stop() -> None:
    """End the daemon. Servers and rules stay. The next call starts another one, as :func:`use` says."""
    context.stop()


def ask(entry_point: Callable[..., Plain], *arguments: Plain) -> Any:
    """Call an entry point in the daemon and return its value.

    Raises:
        PermissionDenied: the daemon does not run, and could not be started.
        NoAnswer: it ended before it answered; what was asked for may have been done or not.
        Whatever the call raises, whole and of its own type.
    """
    try:
        is_value, plain = entry_point(*arguments)
    except oslo_daemon.FailedToDropPrivileges as error:
        _not_started(error)
    except OSError as error:
        if context.channel is None:
            _not_started(error)
        raise NoAnswer(
            "refnet's privileged daemon has ended before it answered; the next call starts one", detail=str(error)
        ) from None
    found = decode(plain)
    if is_value:
        return found
    raise found


def see_that_this_is_no_daemon(group: str) -> None:
    """Refuse an object that asks the daemon, in the daemon: it would ask itself.

    Raises:
        DriverNotFound: this is the daemon, or a test of oslo's that has calls made in its own process.
    """
    if not context.client_mode:
        raise DriverNotFound(f"{config.PRIVSEP!r} in {group} asks the privileged daemon, which is this process itself")


def _not_started(error: Exception) -> NoReturn:
    raise PermissionDenied(
        "refnet's privileged daemon does not run and could not be started: let a process that is root start it with "
        "refnet.privsep.start() before it gives that up, or let this user run [refnet_privileged] helper_command "
        f"(by default 'sudo privsep-helper …'); see [{oslo_options.PRIVILEGED}]",
        detail=str(error) or type(error).__name__,
    ) from None
