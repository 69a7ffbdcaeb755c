"""Whether a machine that boots lets somebody in by ssh: asked again and again until it does, or never will."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable

from conformance.environments import qemu, ssh
from conformance.errors import EnvironmentUnavailable

#: Seconds for an ssh server's first words: at first, as a part of the time that the machine has been up, and at most.
_GREETING, _GREETING_PART, _GREETING_MOST = 1.0, 0.1, 20.0
_PAUSE = 0.25
#: Seconds for a login, which emulation makes slow, and between two that are refused.
_LIMIT = 120.0
_REFUSAL_PAUSE = 5.0


class LoginRefused(EnvironmentUnavailable):
    """The machine is up, and does not let this user in; the message is ssh's."""


class Login:
    """A way in that may open.

    Attributes:
        said: the words that the probe has written when it worked.
        refused: what ssh has said last when it did not.
    """

    def __init__(self, command: Callable[[qemu.Machine], list[str]], probe: str, refusals: int = 3) -> None:
        """Take note of the ssh command, of what is run there, and of how many refusals are one too many.

        A system that boots may let nobody in yet: its keys may not be there before its ssh server is.
        """
        self._command = command
        self._probe = probe
        self._left = refusals
        self._began: float | None = None
        self.said: list[str] = []
        self.refused = ""

    def opens(self, machine: qemu.Machine) -> bool:
        """Try once.

        Raises:
            LoginRefused: it has been refused too often.
        """
        time.sleep(_PAUSE)
        now = time.monotonic()
        self._began = self._began or now
        if not greets(machine.port, min(_GREETING + (now - self._began) * _GREETING_PART, _GREETING_MOST)):
            return False
        try:
            done = subprocess.run(
                [*self._command(machine), self._probe],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode == 0:
            self.said = done.stdout.decode(errors="replace").split()
            return True
        self.refused = words = done.stderr.decode(errors="replace").strip()
        if ssh.is_refusal(words):
            self._left -= 1
            if self._left <= 0:
                raise LoginRefused(f"the machine is up and refuses the login: {words}")
            time.sleep(_REFUSAL_PAUSE)
        return False


def greets(port: int, limit: float) -> bool:
    """Whether an ssh server greets within some seconds: QEMU takes connections long before a guest does."""
    deadline = time.monotonic() + limit
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), limit) as connection:
        heard = b""
        while len(heard) < 4:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            data = connection.recv(4 - len(heard))
            if not data:
                return False
            heard += data
        return heard == b"SSH-"
    return False
