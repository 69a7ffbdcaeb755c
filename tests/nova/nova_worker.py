"""Nova's libvirt VIF driver as nova-compute has it, to be told what to plug: a request a line in, an answer a line out.

    python nova_worker.py plain|refnet

``refnet`` wants a Nova with contrib/nova-refnet.patch on the path, and gives os-vif its Open vSwitch plugin on refnet.
Each request is a child process's, in the network stack of the process that started this one: it knows nothing of the
requests before it, as a nova-compute that has just been started. The suite's code is not imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from typing import Any

import nova.conf
import nova.network.model as network_model
import nova.privsep
import os_vif
import vif_plug_ovs.privsep
from nova import objects
from nova.virt.libvirt import vif as libvirt_vif
from oslo_concurrency import lockutils
from oslo_config import cfg

CONF = nova.conf.CONF


def prepare() -> None:
    """Do what nova-compute does when it starts."""
    CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    objects.register_all()


def main(helpers: str) -> None:
    prepare()
    os_vif.initialize()
    # This process is root: what the privileged process would do is done here.
    nova.privsep.sys_admin_pctxt.set_client_mode(False)
    vif_plug_ovs.privsep.vif_plug.set_client_mode(False)
    print(json.dumps({"nova": libvirt_vif.__file__}), flush=True)
    with tempfile.TemporaryDirectory() as locks:
        lockutils.set_defaults(lock_path=locks)
        for line in sys.stdin:
            print(_in_a_child(helpers, json.loads(line)), flush=True)


def _in_a_child(helpers: str, request: dict[str, Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer: dict[str, str] = {}
        try:
            _answer(helpers, request)
        except BaseException as error:
            answer = {"error": type(error).__name__, "words": str(error)}
        with contextlib.suppress(BaseException), os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said or json.dumps({"error": "ChildDied", "words": f"status {status}"})


def _answer(helpers: str, request: dict[str, Any]) -> None:
    _enter_network(f"/proc/{os.getppid()}/ns/net", f"/proc/{request['asker']}/ns/net")
    os.environ["PATH"] = os.pathsep.join([*request.get("path", ()), os.environ["PATH"]])
    for option, value in {"ovsdb_connection": "unix:/run/openvswitch/db.sock", **request.get("os_vif", {})}.items():
        cfg.CONF.set_override(option, value, group="os_vif_ovs")
    os_vif.initialize(reset=True)
    if helpers == "refnet":
        import os_vif_on_refnet

        os_vif_on_refnet.take_over()
    driver = libvirt_vif.LibvirtGenericVIFDriver()
    getattr(driver, request["do"])(_instance(request.get("image", {})), _vif(**request["vif"]))


def _enter_network(own: str, other: str) -> None:
    import ctypes

    if os.stat(own) != os.stat(other):
        libc = ctypes.CDLL(None, use_errno=True)
        with open(other) as namespace:
            if libc.setns(namespace.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), f"setns({other})")


def _vif(network: dict[str, Any], **vif: Any) -> network_model.VIF:
    return network_model.VIF(network=network_model.Network(**network), **vif)


def _instance(image: dict[str, str]) -> objects.Instance:
    return objects.Instance(
        id=7,
        uuid="1d5c2f9e-8f4c-4a57-9a59-6a5f7a3f8b01",
        project_id="project",
        display_name="guest",
        image_ref="",
        flavor=objects.Flavor(vcpus=2, extra_specs={}),
        system_metadata={f"image_{name}": value for name, value in image.items()},
    )


if __name__ == "__main__":
    main(sys.argv[1])
