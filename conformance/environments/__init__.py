"""Where specs run. An environment is chosen by name, and its module is imported when it is."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from conformance.environments.base import Environment, Options

_CLASSES = {
    "local": "conformance.environments.local:Local",
    "docker": "conformance.environments.docker:Docker",
    "linux-vm": "conformance.environments.linux_vm:LinuxVm",
    "freebsd-vm": "conformance.environments.freebsd_vm:FreebsdVm",
    "ssh": "conformance.environments.ssh:Ssh",
}
NAMES = tuple(_CLASSES)
#: What each field of :class:`Options` is called on the command line.
_FLAGS = {
    "docker_hosts": "--docker-host",
    "privileged": "--privileged",
    "disk": "--disk",
    "ssh_key": "--ssh-key",
    "ssh_user": "--ssh-user",
    "kernel": "--kernel",
    "memory": "--memory",
}


def load(name: str) -> type[Environment]:
    """Return the class of an environment."""
    module, _, class_name = _CLASSES[name].partition(":")
    loaded: type[Environment] = getattr(importlib.import_module(module), class_name)
    return loaded


def choose(address: str, options: Options) -> list[Environment]:
    """Return the environments that ``address`` (a name, or ``ssh://…``) and the options mean.

    Raises:
        ValueError: there is no such environment, or it does not heed an option that was given.
    """
    name = "ssh" if address.startswith("ssh://") else address
    if name not in _CLASSES or (name == "ssh" and address == "ssh"):
        known = ", ".join(one for one in NAMES if one != "ssh")
        raise ValueError(f"--env {address!r}: there is no such environment; expected {known} or ssh://USER@HOST:PORT")
    chosen = load(name)
    plain = Options()
    for field, flag in _FLAGS.items():
        if getattr(options, field) != getattr(plain, field) and field not in chosen.heeds:
            heeding = [one for one in NAMES if field in load(one).heeds]
            raise ValueError(f"{flag} means nothing to the environment {name}; it is for {', '.join(heeding)}")
    return chosen.for_options(options)


def words_for(arguments: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that say where: ``env`` and the fields of :class:`Options`, as given."""
    plain = Options()
    words = [] if arguments["env"] == "local" else ["--env", str(arguments["env"])]
    for field, flag in _FLAGS.items():
        value = arguments[field]
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [word for one in value for word in (flag, str(one))]
        elif value is not None and value != getattr(plain, field):
            words += [flag, str(value)]
    return words
