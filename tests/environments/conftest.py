"""Fixtures: a Docker engine that answers, and the environment on it."""

import pytest

from conformance.environments.base import Options
from conformance.environments.docker import Docker
from conformance.environments.engine import Engine
from conformance.errors import EnvironmentUnavailable


@pytest.fixture(scope="session")
def engine():
    """An engine that answers, and its SDK client."""
    try:
        connected = Engine()
    except EnvironmentUnavailable as error:
        pytest.fail(
            f"these tests need a Docker engine: start them with '.ci/with-engine pytest tests/environments' ({error})",
            pytrace=False,
        )
    yield connected
    connected.close()


@pytest.fixture
def api(engine):
    return engine.api


@pytest.fixture
def docker(engine):
    with Docker(Options()) as entered:
        yield entered
