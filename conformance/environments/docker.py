"""The environment ``docker``: a container of the suite's own image, on any engine that the Docker SDK reaches.

A container's main process is the program that was started in it, attached to a connection of this process: when this
process dies, however it dies, the engine closes the program's input, the program ends, and the engine removes the
container. Nothing in it is the host's: no network, no folder, no right beyond :data:`CAPABILITIES`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from conformance.environments import images
from conformance.environments.attached import AttachedChannel
from conformance.environments.base import Availability, Channel, Environment, Options
from conformance.environments.engine import Engine, check
from conformance.errors import EnvironmentUnavailable

#: What a container may do, with what a run of the specs lacks without it. Found by taking each away.
CAPABILITIES = {
    "SYS_ADMIN": "no namespace can be made or entered, and no /proc, /sys or /run mounted in one",
    "NET_ADMIN": "no device, address or route can be made or changed, and no setting of a network stack",
    "NET_RAW": "no guest can send or see a frame (AF_PACKET)",
    "SETUID": "TA-12 to TA-15 cannot try whether another user may hold a tap, and no DHCP server becomes nobody",
    "SETGID": "TA-12 to TA-15 cannot try whether another group may hold a tap, and no DHCP server becomes nobody",
    "NET_BIND_SERVICE": "no DHCP server starts: dnsmasq wants to open ports below 1024 at any time",
    "KILL": "no DHCP server can be stopped that has become nobody",
    "SYS_PTRACE": "which network stack a DHCP server is in that has become nobody cannot be seen",
}
#: The one device. An engine's host that has none gives a container without it, and the suite says what it then lacks.
TUN = "/dev/net/tun"

REPOSITORY = "refnet-conformance-linux"
#: Everything that is made has labels. An image has only its own, since containers of it inherit it.
LABEL = "org.refnet.conformance"
IMAGE_LABEL = f"{LABEL}.image"
_HOST, _PID, _STARTED = f"{LABEL}.host", f"{LABEL}.pid", f"{LABEL}.started"

#: Seconds: for an engine to show that it is there, and to take in an image.
_QUICK = 5.0
_IMPORT_LIMIT = 900.0
#: Seconds for an engine to know how a container has ended.
_KNOWN_LIMIT = 10.0
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
}


class Docker(Environment):
    """A container on one engine."""

    name = "docker"
    heeds = frozenset({"docker_hosts", "privileged"})

    def __init__(self, options: Options) -> None:
        """Take note of the engine.

        Raises:
            ValueError: what names it is no address of an engine, or names several.
        """
        super().__init__(options)
        if len(options.docker_hosts) > 1:
            raise ValueError("one container is on one engine: Docker.for_options gives one for each --docker-host")
        self._host = check(options.docker_hosts[0]) if options.docker_hosts else ""
        self._engine: Engine | None = None
        self._image = ""
        #: What the engine puts on top of capabilities: seccomp, apparmor, userns, …
        self._security: set[str] = set()
        self._channels: list[AttachedChannel] = []
        self._details: dict[str, str] = {}

    @classmethod
    def for_options(cls, options: Options) -> list[Environment]:
        """Return one for each engine that was named."""
        return [cls(replace(options, docker_hosts=(host,))) for host in options.docker_hosts] or [cls(options)]

    @classmethod
    def availability(cls, options: Options) -> Availability:
        """Ask each engine for its version, and see that there is, or can be, an image."""
        missing, found = [], []
        for host in options.docker_hosts or ("",):
            try:
                engine = Engine(host and check(host), limit=_QUICK)
            except (EnvironmentUnavailable, ValueError) as error:
                missing.append(str(error).removeprefix("docker: "))
                continue
            try:
                _see_that_it_fits(engine)
                with engine.understood():
                    if images.cached() is None and not _has_image(engine, _image_name()):
                        missing += images.missing()
                found.append(f"Docker {engine.version['Version']} at {engine.url}")
            except EnvironmentUnavailable as error:
                missing.append(str(error).removeprefix("docker: "))
            finally:
                engine.close()
        return Availability(tuple(missing), ", ".join(found))

    def __enter__(self) -> Docker:
        """Connect, remove the containers of this host's dead launchers, and bring the image if it is not there."""
        self._engine = engine = Engine(self._host)
        try:
            _see_that_it_fits(engine)
            with engine.understood():
                _sweep(engine)
                about = engine.api.info()
            self._image = self._bring_image(engine)
            options = about.get("SecurityOptions") or ()
            self._security = {option.partition(",")[0].removeprefix("name=") for option in options}
            version, api = engine.version.get("Version", "unknown"), engine.api.api_version
            self._details = {
                "engine": f"Docker {version}, API {api}, on {about.get('OperatingSystem', 'unknown')}",
                "engine's address": engine.url,
                "storage driver": about.get("Driver", "unknown"),
                "image": self._image,
                "capabilities": "all (--privileged)" if self.options.privileged else " ".join(CAPABILITIES),
            }
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs. The image stays: the next run is the quicker for it."""
        for channel in self._channels:
            channel.close()
            channel.release()
        self._channels.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def start(self, command: Sequence[str]) -> Channel:
        """Start a program as the main process of a container of its own."""
        engine = self._entered()
        name = f"refnet-conformance-{secrets.token_hex(4)}"
        try:
            channel = self._attached(engine, name, command, devices=[TUN])
        except EnvironmentUnavailable as error:
            if TUN not in str(error):
                raise
            channel = self._attached(engine, name, command, devices=[])
        self._channels.append(channel)
        return channel

    def details(self) -> Mapping[str, str]:
        """Return which engine it is, and what the container is made of."""
        return self._details

    def last_words(self) -> str:
        """Return how the last container has ended, by the engine's own account."""
        if not self._channels or self._engine is None:
            return ""
        channel, engine = self._channels[-1], self._engine
        try:
            with engine.understood():
                return channel.account(_KNOWN_LIMIT)
        except EnvironmentUnavailable as error:
            return f"container {channel.name}: {error}"

    def shell(self) -> str:
        """Return the command that opens a shell in the last container."""
        if not self._channels or self._engine is None:
            return ""
        return shlex.join(["docker", "-H", self._engine.url, "exec", "-it", self._channels[-1].name, "sh"])

    def _entered(self) -> Engine:
        if self._engine is None:
            raise EnvironmentUnavailable("docker: the environment has not been entered")
        return self._engine

    def _attached(self, engine: Engine, name: str, command: Sequence[str], devices: list[str]) -> AttachedChannel:
        """Make a container, attach to it, and start it, in this order: then nothing that it says is missed."""
        with engine.understood():
            container = self._create(engine, name, command, devices)
            channel = None
            try:
                channel = AttachedChannel(engine, container, name)
                engine.api.start(container)
            except BaseException:
                with engine.forgiven():
                    engine.api.remove_container(container, force=True)
                if channel is not None:
                    channel.close()
                    channel.release()
                raise
        return channel

    def _create(self, engine: Engine, name: str, command: Sequence[str], devices: list[str]) -> str:
        host_config = engine.api.create_host_config(
            network_mode="none",
            auto_remove=True,
            # What a program writes is for its launcher only: nothing is to fill the engine's disk.
            log_config={"Type": "none"},
            tmpfs={"/tmp": "exec,mode=1777", "/run": "exec,mode=755"},  # noqa: S108
            **self._rights(devices),
        )
        pid = os.getpid()
        settings: dict[str, Any] = {
            "command": list(command),
            "name": name,
            "hostname": "conformance",
            "stdin_open": True,  # and, for the SDK, closed for good when the first connection ends
            "working_dir": "/tmp",  # noqa: S108
            "labels": {LABEL: "1", _HOST: _this_host(), _PID: str(pid), _STARTED: _started(pid)},
            "host_config": host_config,
        }
        try:
            return str(engine.api.create_container(self._image, **settings)["Id"])
        except Exception as error:
            if getattr(error, "status_code", None) != 404:
                raise
        # Another run has brought a newer image, and removed this one.
        self._image = self._bring_image(engine)
        return str(engine.api.create_container(self._image, **settings)["Id"])

    def _rights(self, devices: list[str]) -> dict[str, Any]:
        if self.options.privileged:
            return {"privileged": True}
        return {
            # Where the engine maps users, the kernel would let root in there mount no /sys that can be written to.
            "userns_mode": "host" if "userns" in self._security else None,
            "cap_drop": ["ALL"],
            "cap_add": list(CAPABILITIES),
            "devices": devices,
            "security_opt": self._security_options(),
        }

    def _security_options(self) -> list[str]:
        """Lift what engines put on top of capabilities, where they do, and which forbids mounting to all."""
        lifted = {"apparmor": "apparmor=unconfined", "selinux": "label=disable"}
        return [option for name, option in lifted.items() if name in self._security]

    def _bring_image(self, engine: Engine) -> str:
        """Import the image if the engine does not have it, and return its name there."""
        name = _image_name()
        with engine.understood():
            if _has_image(engine, name):
                return name
        image = images.linux_image(self.options.say)
        self.options.say(f"importing the image {name} into the engine at {engine.url}")
        repository, _, tag = name.partition(":")

        def bring() -> str:
            label = f"LABEL {IMAGE_LABEL}={image.hash}"
            return str(engine.api.import_image_from_file(str(image.rootfs), repository, tag, changes=[label]))

        with engine.understood():
            said = engine.within(_IMPORT_LIMIT, bring, "take the image")
            for line in said.splitlines():
                if "error" in (answer := json.loads(line)):
                    raise EnvironmentUnavailable(f"docker: the engine at {engine.url} says: {answer['error']}")
            _remove_older(engine, name)
        return name


def _image_name() -> str:
    return f"{REPOSITORY}:{images.recipe_hash()[:12]}"


def _has_image(engine: Engine, name: str) -> bool:
    return any(name in (one["RepoTags"] or ()) for one in engine.api.images(filters={"label": IMAGE_LABEL}))


def _see_that_it_fits(engine: Engine) -> None:
    """See that the engine's containers can run the image.

    Raises:
        EnvironmentUnavailable: they cannot.
    """
    ours = _ARCHITECTURES.get(platform.machine(), platform.machine())
    theirs, system = engine.version.get("Arch"), engine.version.get("Os")
    if system != "linux":
        raise EnvironmentUnavailable(
            f"docker: the engine at {engine.url} runs containers of {system}: switch it to Linux containers, or name "
            "another with --docker-host"
        )
    if theirs != ours:
        raise EnvironmentUnavailable(
            f"docker: the engine at {engine.url} is of the architecture {theirs}, and the image that is made here of "
            f"{ours}: name an engine on {ours} with --docker-host, or run the suite there"
        )


def _sweep(engine: Engine) -> None:
    """Remove the containers whose launcher was on this host and is dead: they have been left, whatever they do."""
    for container in engine.api.containers(all=True, filters={"label": [f"{LABEL}=1", f"{_HOST}={_this_host()}"]}):
        labels = container["Labels"]
        pid, started = labels.get(_PID, ""), labels.get(_STARTED, "")
        if pid.isdecimal() and started and _started(int(pid)) != started:
            with engine.forgiven():
                engine.api.remove_container(container["Id"], force=True)


def _remove_older(engine: Engine, present: str) -> None:
    """Remove earlier images of the suite. The engine keeps those that a container uses."""
    for image in engine.api.images(filters={"label": IMAGE_LABEL}):
        tags = [tag for tag in image["RepoTags"] or () if tag != "<none>:<none>"]
        if present in tags or any(not tag.startswith(f"{REPOSITORY}:") for tag in tags):
            continue
        for what in tags or [image["Id"]]:
            with engine.forgiven():
                engine.api.remove_image(what)


def _this_host() -> str:
    """Return what tells the processes of this host, since it was started, from those of all others.

    Hosts made from one image share their names and machine ids, and containers share the kernel: so it is the
    kernel's boot, and the namespace that process ids are of.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            words = f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        words = f"{platform.node()} {socket.getfqdn()}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _started(pid: int) -> str:
    """Return when a process was started, in the kernel's clock ticks since its boot (proc(5)); "": there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""
