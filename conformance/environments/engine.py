"""Reaching a Docker engine: which one is meant, how it is reached, and what would help when it does not answer.

The Docker SDK is imported only here and only when an engine is asked for: the rest of the suite works without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conformance.environments import ssh
from conformance.environments.base import Options, end
from conformance.errors import EnvironmentUnavailable

DEFAULT = "unix:///var/run/docker.sock"
#: Seconds for one answer of an engine, once it is in use.
ANSWER_LIMIT = 60.0
#: Seconds for ssh to have reached an engine's host.
_SSH_LIMIT = 15.0
_GRACE = 10.0

_HOW_TO_START = (
    "'systemctl start docker' starts one that is installed, 'apt-get install docker.io' installs one, '.ci/with-engine "
    "COMMAND' in refnet's source has one for the length of a command, and --docker-host or DOCKER_HOST names another"
)


def check(url: str) -> str:
    """Return an engine's address if it is one, as DOCKER_HOST spells them.

    Raises:
        ValueError: it is none.
    """
    expected = "expected unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST:PORT"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{url!r} has no port of 1 to 65535: {expected}") from None
    if parts.scheme == "ssh":
        ssh.Ssh(Options(destination=f"ssh://{parts.netloc}"))
    elif not (
        (parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1)
        or (parts.scheme == "tcp" and parts.hostname and port and not parts.path.strip("/"))
    ):
        raise ValueError(f"{url!r} is no address of a Docker engine: {expected}")
    return url


class Engine:
    """A connection to one engine. ``api`` is the SDK's low-level client."""

    def __init__(self, host: str = "", *, limit: float = ANSWER_LIMIT) -> None:
        """Connect to the engine at an address; "": to the one that DOCKER_HOST, the current context or custom names.

        ``limit`` is how many seconds it may take to answer.

        Raises:
            EnvironmentUnavailable: it cannot be reached, or is none; the message says what would help.
        """
        try:
            import docker
        except ImportError:
            raise EnvironmentUnavailable(
                "docker: the Docker SDK for Python is missing: \"pip install 'docker>=7.1,<8'\" brings it"
            ) from None
        self._failures = (docker.errors.DockerException, OSError)
        self.limit = limit
        self._tunnel: _Tunnel | None = None
        self.url = host or DEFAULT
        with self.understood():
            where = _resolve(host)
            self.url = where.get("base_url") or DEFAULT
            try:
                check(self.url)
            except ValueError as error:
                raise EnvironmentUnavailable(f"docker: {error}") from None
            if self.url.startswith("ssh://"):
                self._tunnel = _Tunnel(self.url)
                where = {"base_url": self._tunnel.url}
            try:
                self.version: dict[str, Any] = {}
                # The SDK asks for the version as soon as it may, too soon for a setting: so first with any.
                for version in (docker.constants.MINIMUM_DOCKER_API_VERSION, None):
                    self.api = docker.APIClient(**where, version=version or self.version["ApiVersion"], timeout=limit)
                    # REQUESTS_CA_BUNDLE, where it is set, would go before the authority that vouches for this engine.
                    self.api.trust_env = "tls" not in where
                    self.version = self.version or self.api.version(api_version=False)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of it."""
        api = getattr(self, "api", None)
        if api is not None:
            api.close()
        if self._tunnel is not None:
            self._tunnel.close()

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Have the SDK's failures told as what they mean.

        Raises:
            EnvironmentUnavailable: the engine did not do what it was asked for.
        """
        try:
            yield
        except self._failures as error:
            raise EnvironmentUnavailable(f"docker: {self.explain(error)}") from None

    @contextlib.contextmanager
    def forgiven(self) -> Iterator[None]:
        """Have failures passed over: what was to be removed is gone, or so is the engine."""
        with contextlib.suppress(*self._failures):
            yield

    def within(self, limit: float, work: Callable[[], Any], what: str) -> Any:
        """Do work for which the SDK has no time limit, in a thread, and return what it gives.

        Raises:
            EnvironmentUnavailable: the engine did not do it within ``limit`` seconds.
        """
        results: list[Any] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(limit)
        if errors:
            raise errors[0]
        if not results:
            raise EnvironmentUnavailable(f"docker: the engine at {self.url} did not {what} within {limit:g} s")
        return results[0]

    def explain(self, error: BaseException) -> str:
        """Return what has gone wrong between this host and the engine, and what would help."""
        causes = list(_causes(error))
        words = getattr(error, "explanation", None) or str(next((one for one in causes if one.args), error))
        at = f"the Docker engine at {self.url}"
        if getattr(error, "response", None) is not None:
            return f"{at} says: {words}"
        if any(isinstance(one, PermissionError) for one in causes):
            return (
                f"{at} may not be used by this user: be root, or be put into the group that its socket has "
                "('usermod -aG docker USER', then log in again)"
            )
        if any(isinstance(one, ssl.SSLError) for one in causes):
            return f"{at}: TLS failed ({words}): see to DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
        if any("timed out" in str(one).lower() for one in causes):
            return f"{at} does not answer within {self.limit:g} s: is that a Docker engine, and does it work?"
        if self._tunnel is not None:
            return f"{at} does not answer behind ssh: is it started there, and may that user use it?"
        if self.url.startswith("unix://"):
            if any(getattr(one, "errno", None) in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR) for one in causes):
                return f"no Docker engine answers at {self.url}: {_HOW_TO_START}"
        elif any(isinstance(one, OSError) and one.errno in _UNREACHABLE for one in causes) or "resolve" in str(error):
            return f"no Docker engine answers at {self.url} ({words}): see to the address, the port and the firewalls"
        return f"what answers at {self.url} is no Docker engine, or a broken one ({words})"


_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give what an exception was made from, the innermost first: the SDK wraps requests, which wraps urllib3."""
    inner = [error.__cause__ or error.__context__, getattr(error, "reason", None), *error.args]
    for one in inner:
        if isinstance(one, BaseException) and one is not error:
            yield from _causes(one)
    yield error


def _resolve(host: str) -> Mapping[str, Any]:
    """Return the SDK's words for an engine: the one named, else DOCKER_HOST's, else the current context's."""
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    if host or os.environ.get("DOCKER_HOST"):
        named: Mapping[str, Any] = kwargs_from_env({**os.environ, **({"DOCKER_HOST": host} if host else {})})
        return named
    name = os.environ.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises bare ones for files that it cannot read
        raise EnvironmentUnavailable(f"docker: {error}") from None
    if context is None:
        raise EnvironmentUnavailable(
            f"docker: there is no context {name or 'of the name that is set as the current one'}: 'docker context ls' "
            "lists them, and --docker-host names an engine without one"
        )
    return {"base_url": context.Host or DEFAULT, **({"tls": context.TLSConfig} if context.TLSConfig else {})}


class _Tunnel:
    """An engine's socket on another host, brought here by the user's own ssh.

    The SDK's own way over ssh takes a library more, and a socket whose writing end cannot be closed by itself. The
    far end runs until its input ends, so nothing of it outlives this process, and neither does the folder.
    """

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            EnvironmentUnavailable: the host cannot be reached.
        """
        parts = urlsplit(url)
        host = ssh.Ssh(Options(destination=f"ssh://{parts.netloc}"))
        if shutil.which("ssh") is None:
            raise EnvironmentUnavailable(
                "docker: the ssh program is missing: 'apt-get install openssh-client' brings it"
            )
        self._directory = Path(tempfile.mkdtemp(prefix="refnet-conformance-engine-"))
        near = self._directory / "docker.sock"
        far = parts.path if len(parts.path) > 1 else urlsplit(DEFAULT).path
        settings = {
            "ClearAllForwardings": "no",
            "ConnectTimeout": f"{_SSH_LIMIT:.0f}",
            "ControlPath": "none",
            "ExitOnForwardFailure": "yes",
            "LocalForward": f"{near} {far}",
        }
        line = ssh.command(host.host, user=host.user, port=host.port, settings=settings)
        self._process = subprocess.Popen(
            ["sh", "-c", '"$@"; rm -rf "$0"', str(self._directory), *line, "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        try:
            self._await(url)
        except BaseException:
            self.close()
            raise
        self.url = f"unix://{near}"

    def close(self) -> None:
        """End ssh, and remove the folder."""
        end(self._process, _GRACE)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _await(self, url: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        said, deadline = b"", time.monotonic() + _SSH_LIMIT
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"ready" not in said:
                left = deadline - time.monotonic()
                data = os.read(self._process.stdout.fileno(), 4096) if left > 0 and selector.select(left) else b""
                if not data:
                    break
                said += data
            else:
                return
        if self._process.poll() is None and deadline - time.monotonic() <= 0:
            raise EnvironmentUnavailable(f"docker: {url} could not be reached by ssh within {_SSH_LIMIT:g} s")
        words = self._process.stderr.read().decode(errors="replace").strip()
        advice = ssh.explain(words)
        raise EnvironmentUnavailable(
            f"docker: {url} cannot be reached by ssh: {words or 'it ended without a word'}"
            + (f" ({advice})" if advice else "")
        )
