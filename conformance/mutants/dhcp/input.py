"""Wrong about bad input: taken, mended in silence, or seen by a program first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conformance.mutants import mutant
from conformance.mutants.dhcp.making import patched
from refnet import names, process
from refnet.dhcp import DhcpManager, checks, hosts, network, options, values
from refnet.errors import InvalidArgument


@mutant("dhcp-input-any-name", "takes any text for a host's name", {"DI-01": "is not refused: it goes through"})
def any_name(base: Any) -> type[DhcpManager]:
    return patched(base, values, "host_name", lambda value: value if isinstance(value, str) else "x")


@mutant(
    "dhcp-input-name-mended",
    "makes a name that is possible of a host's",
    {"DI-01": "is not refused: it goes through"},
)
def name_mended(base: Any) -> type[DhcpManager]:
    return patched(base, values, "host_name", lambda value: re.sub(r"[^a-z0-9]", "", str(value).lower())[:63] or "x")


@mutant(
    "dhcp-input-program-judges",
    "asks a program about a name first",
    {"DI-01": "was refused after this was done: start of 'true'"},
)
def program_judges(base: Any) -> type[DhcpManager]:
    original = values.host_name

    def asked(value: Any) -> str:
        process.run(["true"])
        return original(value)

    return patched(base, values, "host_name", asked)


@mutant(
    "dhcp-input-any-hardware",
    "takes any text for a MAC address",
    {"DI-02": "is refused with "},
)
def any_hardware(base: Any) -> type[DhcpManager]:
    return patched(base, names, "mac_address", lambda value: str(value).lower())


@mutant("dhcp-input-times-clamped", "takes the nearest lease time that there is", {"DI-02": "0 is not refused"})
def times_clamped(base: Any) -> type[DhcpManager]:
    original = values.lease_time

    def lease_time(value: Any) -> int | None:
        return original(max(120, min(value, 1 << 31)) if isinstance(value, int) else value)

    return patched(base, values, "lease_time", lease_time)


@mutant(
    "dhcp-input-hosts-unseen",
    "does not look whether hosts go together with their network and each other",
    {"DI-03": "is refused with "},
)
def hosts_unseen(base: Any) -> type[DhcpManager]:
    return patched(base, checks, "_check_hosts", lambda *rest: None)


@mutant(
    "dhcp-input-half-taken",
    "writes down the host that it then refuses",
    {"DI-03": "was refused after this was done"},
)
def half_taken(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def add_host(self, device: str, host: Any) -> None:
            try:
                super().add_host(device, host)
            except InvalidArgument:
                with open(Path(self.directory, device, "hosts"), "a") as file:
                    file.write(f"{host}\n")
                raise

    return Wrong


@mutant("dhcp-input-any-domain", "leaves it to the server to judge a domain", {"DI-04": "is refused with ServerFailed"})
def any_domain(base: Any) -> type[DhcpManager]:
    return patched(base, values, "domain", lambda value, what="": str(value))


@mutant("dhcp-input-truth", "takes whatever is true for True", {"DI-04": "'no' is not refused: it goes through"})
def truth(base: Any) -> type[DhcpManager]:
    return patched(base, network, "flag", lambda value, what: bool(value))


@mutant(
    "dhcp-input-ranges-unseen",
    "does not look where a range is",
    {"DI-05": "'10.10.0.1' is not refused: it goes through"},
)
def ranges_unseen(base: Any) -> type[DhcpManager]:
    return patched(base, checks, "_check_ranges", lambda *rest: None)


@mutant("dhcp-input-any-option", "leaves out options that it does not know", {"DI-06": "is not refused"})
def any_option(base: Any) -> type[DhcpManager]:
    original = options.encoded

    def encoded(value: Any, version: int) -> Any:
        try:
            return original(value, version)
        except InvalidArgument:
            return ()

    return patched(patched(base, network, "encoded", encoded), hosts, "encoded", encoded)


@mutant(
    "dhcp-input-types-trusted",
    "expects text where anything may come",
    {"DI-07": "let out a TypeError"},
)
def types_trusted(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def stop(self, device: str, **given: Any) -> None:
            super().stop("" + device, **given)

    return Wrong


@mutant("dhcp-input-paths", "takes any device's name for a folder's", {"DI-07": "is not refused: it goes through"})
def paths(base: Any) -> type[DhcpManager]:
    class Wrong(base):  # type: ignore[misc]
        def leases(self, device: str) -> Any:
            return super().leases(device) if Path(self.directory, str(device)).is_dir() else ()

    return Wrong
