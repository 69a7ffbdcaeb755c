"""refnet for a process without privileges: a daemon does what takes them, and nothing else (oslo.privsep).

    from refnet import netdev, privsep

    privsep.start()  # by fork, while this process still is root
    os.setresuid(uid, uid, uid)
    netdev.create_bridge("br100")  # done by the daemon

Or with the daemon started by ``sudo`` at the first call: ``[refnet] use_privsep = true`` and
:func:`refnet.oslo_options.apply`, or :func:`use`. What the daemon may do, and how to set both up: docs/privileges.md.
"""

from __future__ import annotations

try:
    import oslo_config  # noqa: F401 - whether it is there
    import oslo_privsep  # noqa: F401
except ImportError as error:
    raise ImportError(f"{error}: refnet.privsep needs what 'pip install refnet[nova]' brings") from None

from refnet.privsep.client import start, stop, use
from refnet.privsep.contexts import CAPABILITIES, context
from refnet.privsep.devices import PrivsepNetDev
from refnet.privsep.dhcp import PrivsepDhcp
from refnet.privsep.filtering import PrivsepFirewall

__all__ = [
    "CAPABILITIES",
    "PrivsepDhcp",
    "PrivsepFirewall",
    "PrivsepNetDev",
    "context",
    "start",
    "stop",
    "use",
]
