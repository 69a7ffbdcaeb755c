"""Errors of the refnet command, as a line and as a document; options that stand anywhere."""

from __future__ import annotations

from argparse import Namespace

import pytest
from cli_running import Made, Run

from refnet import netdev
from refnet.cli import output
from refnet.errors import CommandFailed, LockTimeout, PermissionDenied, TeardownFailed

ERROR_KEYS = {"type", "message", "operation", "device", "errno", "detail"}

ERRORS = [
    # arguments, status, type, words
    ("", 2, "UsageError", "required: COMMAND; see 'refnet --help'"),
    ("bridge", 2, "UsageError", "required: COMMAND; see 'refnet bridge --help'"),
    ("frob", 2, "UsageError", "invalid choice: 'frob'"),
    ("device show", 2, "UsageError", "required: NAME; see 'refnet device show --help'"),
    ("device show -x", 2, "UsageError", "a name that begins with '-' goes behind '--'"),
    ("device show tap1 more", 2, "UsageError", "what is 'more' here?"),
    ("device show tap1 -- more --", 2, "UsageError", "what is 'more' '--' here?"),
    ("device show tap1 --mtu 5", 2, "UsageError", "what is '--mtu' '5' here?"),
    ("device show tap1 --js", 2, "UsageError", "what is '--js' here?"),
    ("device set tap1", 2, "UsageError", "give one or more of --mtu"),
    ("device set tap1 --up --down", 2, "UsageError", "--down: not allowed with argument --up"),
    ("device set tap1 --mtu big", 2, "UsageError", "--mtu: 'big' is not a whole number"),
    ("device set tap1 --mtu -5", 2, "UsageError", "--mtu: '-5' is not a whole number"),
    ("device set tap1 --mtu 1_400", 2, "UsageError", "--mtu: '1_400' is not a whole number"),
    ("device set tap1 --mtu " + "9" * 5000, 2, "UsageError", "is not a whole number"),
    ("device set tap1 --mtu 67", 2, "InvalidArgument", "MTU 67 is not a whole number from 68 to 65535"),
    ("device set tap1 --mac 1:2", 2, "InvalidArgument", "is not six hexadecimal octets"),
    ("device set a/b --up", 2, "InvalidName", "use A-Z a-z 0-9"),
    ("device set nothere --up", 1, "NoSuchDevice", "check the name"),
    ("device show nothere", 1, "NoSuchDevice", "device show: there is no device nothere [ENODEV]; check the name"),
    ("device show a-name-too-long-for-it", 2, "InvalidName", "at most 15"),
    ("device show br%d", 2, "InvalidName", "see 'refnet device show --help'"),
    ("device delete lo", 1, "Unsupported", "lo is no virtual device"),
    ("device address add tap1 192.0.2.1", 2, "InvalidArgument", "no prefix length"),
    ("device address add nothere 192.0.2.1/24", 1, "NoSuchDevice", "nothere"),
    ("bridge create br0", 1, "AlreadyExists", "'refnet bridge ensure' takes one that is there"),
    ("bridge create tap1", 1, "WrongKind", "choose another name"),
    ("bridge delete tap1", 1, "WrongKind", "of kind tap, not bridge"),
    ("bridge ports tap1", 1, "WrongKind", "of kind tap, not bridge"),
    ("bridge create br1 --stp yes", 2, "UsageError", "'yes' is neither 'on' nor 'off'"),
    ("bridge create br1 --ageing-time nan", 2, "UsageError", "'nan' is not a number of seconds"),
    ("bridge create br1 --ageing-time 9999999", 2, "InvalidArgument", "from 0 to 1000000"),
    ("bridge ensure br1 --move", 2, "UsageError", "give --interface too"),
    ("bridge ensure br1 --interface nothere", 1, "NoSuchDevice", "nothere"),
    ("bridge ensure br1 --interface br0", 2, "InvalidArgument", "br0 is a bridge"),
    ("bridge add-port br0 lo", 2, "InvalidArgument", "it cannot be a port of a bridge"),
    ("vlan ensure 4095 tap1", 2, "InvalidArgument", "from 1 to 4094"),
    ("vlan ensure x tap1", 2, "UsageError", "argument TAG: 'x' is not a whole number"),
    ("vlan ensure 7 tap1 --bridge a:b", 2, "InvalidName", "a:b"),
    ("tap create br0", 1, "WrongKind", "br0"),
    ("tap create tap9 --owner 4294967295", 2, "InvalidArgument", "from 0 to 4294967294"),
    ("veth create v v", 2, "InvalidArgument", "a pair needs two names"),
    ("--driver nope device show lo", 2, "DriverNotFound", "no driver 'nope'"),
    ("--driver refnet.nope:Class device show lo", 2, "DriverNotFound", "cannot be imported"),
]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(("words", "status", "kind", "said"), ERRORS, ids=[error[0][:40] or "-" for error in ERRORS])
def test_an_error_is_one_line_or_one_document(
    refnet: Run,
    done: Run,
    words: str,
    status: int,
    kind: str,
    said: str,
    made: Made,
    request: pytest.FixtureRequest,
) -> None:
    done("bridge", "create", "br0")
    if "tap" in words:
        request.getfixturevalue("tap")
        done("tap", "create", "tap1")
    before = {name: netdev.device(name) for name in made()}

    result = refnet(*words.split())
    assert (result.status, result.out) == (status, "")
    assert result.err.startswith("refnet: ")
    assert result.err.count("\n") == 1
    assert said in result.err

    result = refnet("--json", *words.split())
    error = result.json["error"]
    assert (result.status, error["type"]) == (status, kind)
    assert set(error) >= ERROR_KEYS
    assert error["message"]
    assert {name: netdev.device(name) for name in made()} == before


@pytest.mark.usefixtures("stack", "tap")
def test_an_error_in_json_has_its_facts(refnet: Run, done: Run) -> None:
    for name in ("br0", "br1"):
        done("bridge", "create", name)
    done("tap", "create", "tap1")
    done("bridge", "add-port", "br0", "tap1")
    error = refnet("bridge", "ensure", "br1", "--interface", "tap1", "--json").json["error"]
    assert error.pop("message").startswith("tap1 is a port of br0")
    assert error == {
        "type": "AlreadyEnslaved",
        "operation": "ensure_bridge",
        "device": "tap1",
        "errno": 16,
        "detail": None,
        "master": "br0",
    }
    error = refnet("device", "show", "--json").json["error"]
    assert error == {
        "type": "UsageError",
        "message": "the following arguments are required: NAME",
        **dict.fromkeys(("operation", "device", "errno", "detail")),
    }


def test_an_argument_with_control_characters_cannot_leave_its_line(refnet: Run) -> None:
    for arguments in (["device", "show", "a\nb\x1b[1m"], ["device", "show", "a", "\x1b\n"], ["\n\x1b"]):
        status, out, err = refnet(*arguments)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert err.rstrip("\n").isprintable()


@pytest.mark.usefixtures("stack")
def test_a_long_name_is_cut_in_its_error(refnet: Run) -> None:
    err = refnet("device", "show", "x" * 100_000).err
    assert err.startswith("refnet: device show: device name 'xxx")
    assert err.endswith("has 100000 characters: at most 15 are possible; see 'refnet device show --help'\n")
    assert len(err) < 1200


def test_a_long_error_keeps_its_beginning_and_its_end() -> None:
    options = Namespace(prog="refnet firewall apply", words="firewall apply", operation="apply")
    error = CommandFailed(("nft",), 1, "", f"first {'x' * 100_000} last")
    line = output.error_line(error, options)
    assert line.startswith("firewall apply: ")
    assert "first xxx" in line
    assert "xxx last" in line
    assert len(line) < 2200
    assert error.message in output.error_document(error, options)["error"]["message"]


def test_what_could_not_be_removed_is_said_with_all_reasons_and_one_next_step() -> None:
    options = Namespace(prog="refnet firewall teardown", words="firewall teardown", operation="teardown")
    reasons = [LockTimeout("somebody holds it"), PermissionDenied("you may not")]
    error = TeardownFailed("not all: somebody holds it; you may not", errors=reasons)
    assert output.error_line(error, options) == (
        "firewall teardown: not all: somebody holds it; you may not; run it as root"
    )
    assert [(one["type"], one["message"]) for one in output.error_document(error, options)["error"]["errors"]] == [
        ("LockTimeout", "somebody holds it"),
        ("PermissionDenied", "you may not"),
    ]
    error.errors = (PermissionDenied("run it as root"),)
    error.message = "not all: run it as root"
    assert output.error_line(error, options) == "firewall teardown: not all: run it as root"


@pytest.mark.usefixtures("stack")
def test_global_options_stand_at_any_level(refnet: Run) -> None:
    for words in ("--json device show lo", "device --json show lo", "device show --json lo", "device show lo --json"):
        assert refnet(*words.split()).json["name"] == "lo"
    for words in ("--driver linux device show lo", "device show lo --driver=refnet.netdev.linux:LinuxNetDevDriver"):
        assert refnet(*words.split()).status == 0
    assert refnet("device", "--driver", "nope", "show", "lo").status == 2


@pytest.mark.usefixtures("stack")
def test_the_driver_is_that_of_the_environment_unless_an_option_names_one(
    refnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFNET_NETDEV", "from-environment")
    status, _, err = refnet("device", "show", "lo")
    assert status == 2
    assert "'from-environment'" in err
    assert refnet("device", "show", "lo", "--driver", "linux").status == 0
