"""What a cloud host does to its own network, as a library: devices on Linux behind a small interface.

Start at :mod:`refnet.netdev`. Every error that a caller can cause is a :class:`refnet.errors.RefnetError`.
"""

__version__ = "0.1.0"
