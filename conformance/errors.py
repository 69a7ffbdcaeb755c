"""What can go wrong in the suite itself. None of it is ever a verdict on a driver."""

from __future__ import annotations


class SuiteError(Exception):
    """The suite could not judge: something of its own failed. Reported as ``error``, never as passed or failed."""


class Inconclusive(SuiteError):
    """A negative without its control: the fence, which must arrive, did not. Nothing follows from the silence."""


class EnvironmentUnavailable(Exception):
    """The environment could not be had; the message says exactly what is missing and how to get it."""
