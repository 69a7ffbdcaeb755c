"""Hosts for testinfra: a container of the image, and VMs with both kernels. Run with ``make images-test``."""

import contextlib
import shlex

import pytest
import testinfra

from conformance.environments import load
from conformance.environments.base import Options
from conformance.environments.images import linux_image

CLOUD, GENERIC = "VM, cloud kernel", "VM, generic kernel"
MACHINES = {CLOUD: "cloud", GENERIC: "generic"}


@pytest.fixture(scope="session")
def image():
    return linux_image()


@contextlib.contextmanager
def _container():
    with load("docker")(Options()) as environment:
        channel = environment.start(["cat"])
        try:
            yield testinfra.get_host(f"docker://{shlex.split(environment.shell())[-2]}")
        finally:
            channel.close()


@contextlib.contextmanager
def _machine(flavour, directory):
    with load("linux-vm")(Options(kernel=flavour)) as environment:
        # One connection for all commands: under emulation each handshake takes a second.
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={directory}/%C", "-o", "ControlPersist=300"]
        *words, address = shlex.split(environment.shell())[1:]
        yield testinfra.get_host(f"ssh://root@{address}", ssh_extra_args=shlex.join([*shared, *words]))


@pytest.fixture(scope="session")
def hosts(tmp_path_factory):
    """Start what is asked for, once, and end all of it with the session."""
    with contextlib.ExitStack() as stack:
        started = {}

        def get(name):
            if name not in started:
                flavour = MACHINES.get(name)
                opened = _machine(flavour, tmp_path_factory.mktemp(flavour)) if flavour else _container()
                started[name] = stack.enter_context(opened)
            return started[name]

        yield get


@pytest.fixture(params=["container", CLOUD])
def host(request, hosts):
    """Where the root file system of images/linux is at work."""
    return hosts(request.param)


@pytest.fixture(params=[CLOUD, GENERIC])
def machine(request, hosts):
    """Where a kernel of Debian's is at work besides: the container's is the host's."""
    return hosts(request.param)
