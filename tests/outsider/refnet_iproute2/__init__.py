"""A network device driver for refnet on the ``ip`` command of iproute2."""

from refnet_iproute2.driver import IpCommandDriver

__all__ = ["IpCommandDriver"]
