"""The conformance suite of refnet: it drives a driver through its interface and judges by packets.

Command line: ``refnet-conformance``. As a pytest plugin: ``pytest --pyargs conformance.specs --netdev pkg:Driver``.
"""

from refnet import __version__

__all__ = ["__version__"]
