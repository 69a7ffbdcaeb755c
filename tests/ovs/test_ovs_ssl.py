"""A database over TLS, with certificates as Open vSwitch's library for Python is told them."""

from __future__ import annotations

import signal
import subprocess

import pytest
from ovs.stream import Stream

from refnet import config
from refnet.errors import SwitchUnreachable
from refnet.netdev import Capability
from refnet.netdev.ovs import database
from tests.waiting import wait_until

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


@pytest.fixture
def certificate(tmp_path):
    """A key and a certificate that both ends have, and that says so of itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=refnet", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    before = Stream._SSL_private_key_file, Stream._SSL_certificate_file, Stream._SSL_ca_cert_file
    Stream.ssl_set_private_key_file(str(key))
    Stream.ssl_set_certificate_file(str(certificate))
    Stream.ssl_set_ca_cert_file(str(certificate))
    yield key, certificate
    Stream._SSL_private_key_file, Stream._SSL_certificate_file, Stream._SSL_ca_cert_file = before


@pytest.fixture
def server(stack, tmp_path, certificate):
    """A database over TLS, without a switch."""
    key, own = map(str, certificate)
    subprocess.run(["ovsdb-tool", "create", f"{tmp_path}/db", SCHEMA], check=True)
    command = [
        *("ovsdb-server", f"{tmp_path}/db", "--remote=pssl:6640:127.0.0.1", f"--remote=punix:{tmp_path}/s"),
        *(f"--unixctl={tmp_path}/ctl", f"--private-key={key}", f"--certificate={own}", f"--ca-cert={own}"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        config.configure(ovsdb="ssl:127.0.0.1:6640")
        try:
            wait_until((tmp_path / "s").exists, "the database starts")
            yield process
        finally:
            config.configure(ovsdb="")
            process.kill()


def test_a_database_over_tls_is_spoken_to(server, driver, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 2.0)
    # It has been asked, and has answered.
    assert "no ovs-vswitchd is connected" in (driver.probe(Capability.OVS) or "")


def test_a_database_over_tls_that_hangs_is_told(server, driver, monkeypatch):
    monkeypatch.setattr(database, "ANSWER", 1.0)
    server.send_signal(signal.SIGSTOP)
    with pytest.raises(SwitchUnreachable, match="does not answer"):
        driver.ovs_ports("br0")
    server.send_signal(signal.SIGCONT)
    monkeypatch.setattr(database, "ANSWER", 10.0)
    assert "no ovs-vswitchd is connected" in (driver.probe(Capability.OVS) or "")
