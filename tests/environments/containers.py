"""What the tests of the environment ``docker`` share: containers, seen through the engine and through channels."""

import subprocess
import sys
import threading

from conformance.environments.base import STDERR, STDOUT

LIMIT = 60
LAUNCHER = """
import sys
from conformance.environments.base import Options
from conformance.environments.docker import Docker
with Docker(Options()) as docker:
    channel = docker.start(sys.argv[1:])
    print(channel.name, flush=True)
    for _, data in channel.receive():
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
"""


def taken(channel):
    """Return all that a channel gives: output and errors."""
    streams = {STDOUT: b"", STDERR: b""}
    for stream, data in channel.receive():
        streams[stream] += data
    return streams[STDOUT], streams[STDERR]


def names(api):
    return {name.lstrip("/") for one in api.containers(all=True) for name in one["Names"]}


def sent_in_background(channel, data):
    thread = threading.Thread(target=channel.send, args=(data,), daemon=True)
    thread.start()
    return thread


def launched(*command):
    """Start a launcher of its own, and return it with the name of its container, which is up."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, *command], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    name = launcher.stdout.readline().strip()
    assert launcher.stdout.readline() == "up\n"
    return launcher, name
