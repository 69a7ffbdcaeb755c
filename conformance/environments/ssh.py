"""The environment ``ssh``: any host that can be reached, with Python 3.10 or later, a shell and the system's tools.

The ``ssh`` program of this host does the talking, with the user's own configuration: aliases, jump hosts and agents
work as they do by hand. It never asks: whatever it would ask is an error that says what to do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from conformance.environments.base import Availability, Channel, Environment, Options, ProcessChannel
from conformance.errors import EnvironmentUnavailable

#: Seconds until a host that does not answer counts as unreachable, and between its signs of life.
_CONNECT_LIMIT = 30
_ALIVE_INTERVAL = 15
#: What may name a user or a host on ssh's command line: no option, no shell syntax.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z|[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\Z")

#: What ssh says, and what would help.
_ADVICE = {
    "UNPROTECTED PRIVATE KEY FILE": "run 'chmod 600' on the key's file",
    "Permission denied": "give the key that the host allows for this user, with --ssh-key or through ssh-agent",
    "Host key verification failed": "the host's key is unknown or has changed: see to it with ssh by hand, once",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "see to ~/.ssh/known_hosts by hand",
    "Could not resolve hostname": "no host has that name here",
    "Connection refused": "no ssh server listens there: see to the address and the port",
    "Connection timed out": "the host does not answer: see to the address, the port and the firewalls on the way",
    "No route to host": "the host cannot be reached from here",
    "Network is unreachable": "the host cannot be reached from here",
}
_REFUSALS = ("Permission denied", "UNPROTECTED PRIVATE KEY FILE", "Too many authentication failures")


def command(
    host: str,
    *,
    user: str = "",
    port: int | None = None,
    key: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the ssh command line for a host; a remote command may be added. ``settings`` are those of ssh_config."""
    words = ["ssh", "-T"]
    wanted = {
        "BatchMode": "yes",
        "ConnectTimeout": str(_CONNECT_LIMIT),
        "ServerAliveInterval": str(_ALIVE_INTERVAL),
        "ServerAliveCountMax": "4",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "EscapeChar": "none",
        "LogLevel": "ERROR",
        **({"IdentitiesOnly": "yes"} if key else {}),
        **(settings or {}),
    }
    for name, value in wanted.items():
        words += ["-o", f"{name}={value}"]
    if port is not None:
        words += ["-p", str(port)]
    if key is not None:
        words += ["-i", str(key)]
    if user:
        words += ["-l", user]
    return [*words, "--", host]


def is_user(name: str) -> bool:
    """Whether ssh can be given a user's name: it is no option and no shell syntax."""
    return _NAME.match(name) is not None


def see_key(key: Path | None) -> None:
    """See that a private key that was given is there and can be read.

    Raises:
        ValueError: it is not, or cannot.
    """
    if key is None:
        return
    if not os.path.isfile(key):
        wrong = "it is no regular file" if os.path.exists(key) else "there is no such file"
        raise ValueError(f"--ssh-key {key}: {wrong}")
    if not os.access(key, os.R_OK):
        raise ValueError(f"--ssh-key {key}: this user may not read it")


def is_refusal(said: str) -> bool:
    """Whether ssh has said that a server answers and lets this user not in, or that a key is not fit to be tried."""
    return any(words in said for words in _REFUSALS)


def explain(said: str) -> str:
    """Return what would help against what ssh has said, or ""."""
    return next((advice for words, advice in _ADVICE.items() if words in said), "")


class Ssh(Environment):
    """A host that is reached by ssh."""

    name = "ssh"
    heeds = frozenset({"destination", "ssh_key"})

    def __init__(self, options: Options) -> None:
        """Read the destination.

        Raises:
            ValueError: it is none.
        """
        super().__init__(options)
        self.host, self.user, self.port = _parse(options.destination)
        see_key(options.ssh_key)

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """See that the ssh program is here; whether a host answers is seen when it is tried."""
        where = shutil.which("ssh")
        if where is None:
            return Availability(("the ssh program is missing: 'apt-get install openssh-client' brings it",))
        return Availability(found="any host with sshd, Python 3.10 or later and the system's tools")

    def __enter__(self) -> Ssh:
        """See that there is an ssh program; the host is reached when a program is started there."""
        missing = self.availability(self.options).missing
        if missing:
            raise EnvironmentUnavailable(f"ssh: {'; '.join(missing)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was made."""

    def start(self, command: Sequence[str]) -> Channel:
        """Start a program there. The words go through the login shell of the user, whichever that is."""
        return ProcessChannel([*self._ssh(), shlex.join(command)])

    def details(self) -> Mapping[str, str]:
        """Return which host it is."""
        return {"host": self.options.destination.partition("://")[2]}

    def advice(self, said: str) -> str:
        """Return what would help against what ssh has said."""
        return explain(said)

    def shell(self) -> str:
        """Return the ssh command."""
        return shlex.join([word for word in self._ssh() if word not in ("-T", "--")])

    def _ssh(self) -> list[str]:
        return command(self.host, user=self.user, port=self.port, key=self.options.ssh_key)


def _parse(destination: str) -> tuple[str, str, int | None]:
    expected = "expected ssh://USER@HOST:PORT, where user and port may be left out"
    try:
        parts = urlsplit(destination)
    except ValueError:  # brackets that enclose no IPv6 address
        raise ValueError(f"{destination!r} is no ssh address: {expected}") from None
    try:
        port, host, user = parts.port, parts.hostname or "", parts.username or ""
    except ValueError:
        raise ValueError(f"{destination!r} has no port of 1 to 65535: {expected}") from None
    if parts.scheme != "ssh" or parts.path.strip("/") or parts.query or parts.fragment or parts.password is not None:
        raise ValueError(f"{destination!r} is no ssh address: {expected}")
    if not _HOST.match(host) or (user and not _NAME.match(user)) or port == 0:
        raise ValueError(f"{destination!r} does not name a host that ssh can be given: {expected}")
    return host, user, port
