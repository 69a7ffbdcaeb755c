"""``refnet-dhcp-event``: what dnsmasq calls whenever a lease changes (its ``--dhcp-script``).

It runs once for each change, from nothing: so it is one file that takes next to nothing of the standard library, that
works as ``python -IS FILE`` as well, and that has no work at its import. Those who read what it writes are in
:mod:`refnet.dhcp.events`; there is also what the fields mean.

What guests have said stands in JSON strings of printable ASCII: no byte of theirs ends a line or a string.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # by a name of its own: importing typing costs as much as the work that is done here
    from typing import Any

USAGE = """\
usage: refnet-dhcp-event add|old|del MAC|DUID ADDRESS [NAME]
       refnet-dhcp-event init

dnsmasq calls this program when a lease changes (dnsmasq(8), --dhcp-script). It is configured by the environment:

  REFNET_DHCP_EVENTS=PATH  append each event to this file, as a line of JSON
  REFNET_DHCP_SOCKET=PATH  send each event, as a line of JSON, to who listens on this Unix stream socket
  REFNET_DHCP_STORE=1      keep the leases in the file of events, and give them back at "init" (--leasefile-ro)

At least one of the first two is needed, and the third takes the first. Other actions of dnsmasq are ignored.
Exit status: 0, 1 if an event could not be handed on (a line on standard error says why), 2 if it was called wrongly.
"""

#: Seconds to wait for another process that has the log, and for whoever listens on the socket.
LOCK_LIMIT, SOCKET_LIMIT = 10.0, 1.0
#: When an event brings the log past a multiple of so many octets, events of old that no longer matter are dropped.
COMPACTION_STEP = 4 << 20
#: The last so many events are kept whatever they say: who reads the log, and is not further behind, misses nothing.
KEPT_EVENTS = 1000
#: Octets at the end of the log in which the last event begins: a line cannot be longer.
TAIL = 1 << 17
#: The most characters of a text that are kept: client identifiers and names are shorter.
MAX_TEXT = 1024
#: JavaScript and jq know whole numbers up to here.
MAX_NUMBER = (1 << 53) - 1

#: Fields of an event, by the variables of dnsmasq's that they come from.
VARIABLES = {
    "domain": b"DNSMASQ_DOMAIN",
    "iaid": b"DNSMASQ_IAID",
    "device": b"DNSMASQ_INTERFACE",
    "relay": b"DNSMASQ_RELAY_ADDRESS",
    "server_duid": b"DNSMASQ_SERVER_DUID",
    "old_name": b"DNSMASQ_OLD_HOSTNAME",
    "supplied_name": b"DNSMASQ_SUPPLIED_HOSTNAME",
    "vendor_class": b"DNSMASQ_VENDOR_CLASS",
    "tags": b"DNSMASQ_TAGS",
}


def main() -> int:
    """Hand on one event and return the exit status."""
    try:
        return run()
    except KeyboardInterrupt:
        return 130


def run() -> int:
    """Do what arguments and environment say, and return the exit status."""
    arguments = [os.fsencode(one) for one in sys.argv[1:]]
    variables = os.environb
    log, listener = variables.get(b"REFNET_DHCP_EVENTS"), variables.get(b"REFNET_DHCP_SOCKET")
    is_store = variables.get(b"REFNET_DHCP_STORE") == b"1"
    if arguments[:1] in ([b"-h"], [b"--help"]):
        sys.stdout.write(USAGE)
        return 0
    if not arguments or not (log or listener) or (is_store and not log):
        return wrong_call("the environment names neither a log nor a socket" if arguments else "an action is missing")
    action, *rest = arguments
    # dnsmasq(8): "scripts should be written to ignore unknown actions".
    if action not in (b"init", b"add", b"old", b"del"):
        return 0
    if len(rest) not in ((2, 3) if action != b"init" else (0,)):
        return wrong_call(f"{os.fsdecode(action)} takes other arguments")
    fields = event(action.decode(), rest, variables)
    status = 0
    if log:
        try:
            if is_store and action == b"init":
                restore(log, fields)
            else:
                # "old" without details: the server goes over all its leases, and this one is kept already.
                is_known = action == b"old" and b"DNSMASQ_DATA_MISSING" in variables
                append(log, fields, is_store and not is_known)
        except OSError as error:
            status = complain(f"the log {os.fsdecode(log)!r}", error)
    if listener:
        try:
            send(listener, line(now(), fields))
        except OSError as error:
            status = complain(f"the socket {os.fsdecode(listener)!r}", error)
    return status


def wrong_call(why: str) -> int:
    """Say how the program is called, and return the exit status."""
    sys.stderr.write(f"refnet-dhcp-event: {why}\n{USAGE}")
    return 2


def complain(what: str, error: OSError) -> int:
    """Write one line, which dnsmasq puts into its log, and return the exit status."""
    sys.stderr.write(f"refnet-dhcp-event: {what}: {error.strerror or error}\n")
    return 1


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def event(action: str, lease: list[bytes], variables: "os._Environ[bytes]") -> str:
    """Return the fields of an event but for its number and time, as JSON without the braces."""
    if not lease:
        return f'"action":"{action}"'
    client, address, *name = lease
    # Behind the client of IPv4 is its identifier; that of DHCPv6 is the client, and its MAC address is behind it.
    mac, client_id = (
        (variables.get(b"DNSMASQ_MAC"), client) if b":" in address else (client, variables.get(b"DNSMASQ_CLIENT_ID"))
    )
    expires = variables.get(b"DNSMASQ_LEASE_EXPIRES", b"0")
    found = {"address": address, "mac": mac, "client_id": client_id, "name": name[0] if name else None}
    found.update((field, variables.get(variable)) for field, variable in VARIABLES.items())
    texts = "".join(f',"{field}":{quoted(value)}' for field, value in found.items() if value)
    # dnsmasq writes 0 for a lease that does not end.
    ends = int(expires[:16]) if expires.isdigit() else 0
    return f'"action":"{action}","expires":{ends or "null"}{texts}'


def quoted(value: bytes) -> str:
    """Return octets from outside as a JSON string of printable ASCII; what is no UTF-8 is written in hexadecimal."""
    written = ""
    for character in value.decode("utf-8", "backslashreplace")[:MAX_TEXT]:
        code = ord(character)
        if 32 <= code < 127 and character not in '"\\':
            written += character
        elif code < 0x10000:
            written += f"\\u{code:04x}"
        else:
            written += f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f'"{written}"'


def line(number: int, fields: str) -> bytes:
    """Return an event as it is written down."""
    return f'{{"number":{number},"time":{time.time():.3f},{fields}}}\n'.encode()


# -- the log ------------------------------------------------------------------------------------------


def append(path: bytes, fields: str, is_lasting: bool) -> None:
    """Append an event to the log as one whole line, with a number that is higher than all before.

    ``is_lasting``: what the log has then is there after a loss of power as well.

    Raises:
        OSError: it could not be; nothing of it is in the log then.
    """
    descriptor = locked(path)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL, max(0, size - TAIL))
        written = line(max(now(), last_number(tail) + 1), fields)
        # Half a line is left by one who was killed while writing it.
        if tail and not tail.endswith(b"\n"):
            written = b"\n" + written
        put(descriptor, size, written)
        if is_lasting:
            os.fsync(descriptor)
        if size // COMPACTION_STEP != (size + len(written)) // COMPACTION_STEP:
            try:
                compact(descriptor, path, read_all(descriptor), b"")
            except OSError as error:
                complain(f"the log {os.fsdecode(path)!r} stays as long as it is", error)
    finally:
        os.close(descriptor)


def restore(path: bytes, fields: str) -> None:
    """Give dnsmasq the leases that the log has, as its lease file has them (lease.c), and drop what no longer matters.

    Raises:
        OSError: the log cannot be read: dnsmasq does not start then, rather than give addresses twice.
    """
    descriptor = locked(path)
    try:
        data = read_all(descriptor)
        written = lease_file(data).encode()
        while written:
            written = written[os.write(1, written) :]
        number = max(now(), last_number(data[-TAIL:]) + 1)
        try:
            compact(descriptor, path, data, line(number, fields))
        except OSError as error:
            # The leases are told all the same: a full disk is no reason to serve nobody.
            complain(f"the log {os.fsdecode(path)!r} stays as long as it is", error)
    finally:
        os.close(descriptor)


def locked(path: bytes) -> int:
    """Open the log, made if missing, with a lock on it that ends with the descriptor.

    Raises:
        OSError: it cannot be opened, or another process has had it all the time.
    """
    import fcntl

    deadline = time.monotonic() + LOCK_LIMIT
    while True:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o644)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"another process has held it for {LOCK_LIMIT:g} s") from None
                    time.sleep(0.01)
            # Who waited may have waited for one that put another file in its place.
            if is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_at(descriptor: int, path: bytes) -> bool:
    """Whether the open file is the one that has this name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (opened.st_dev, opened.st_ino) == (there.st_dev, there.st_ino)


def last_number(tail: bytes) -> int:
    """Return the highest number in the last event of the log, 0 if there is none; half a number is a lower one."""
    _, found, rest = tail.rpartition(b'{"number":')
    digits = rest[:17].partition(b",")[0]
    number = int(digits) if found and digits.isdigit() else 0
    return number if number < MAX_NUMBER else 0


def put(descriptor: int, size: int, data: bytes) -> None:
    """Write at the end of a file of ``size`` octets, all or nothing.

    Raises:
        OSError: nothing was written.
    """
    try:
        count = os.write(descriptor, data)
        while count < len(data):  # a disk that fills up takes a part, and says at the next call why no more
            count += os.write(descriptor, data[count:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def read_all(descriptor: int) -> bytes:
    """Return all of an open file."""
    parts, at = [], 0
    while part := os.pread(descriptor, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def compact(descriptor: int, path: bytes, data: bytes, further: bytes) -> None:
    """Replace the log by one that has the leases there are, the last events, and a further line behind them.

    Raises:
        OSError: it could not be; the log is as it was.
    """
    lines = parsed(data)
    old, recent = lines[:-KEPT_EVENTS], lines[-KEPT_EVENTS:]
    kept = [(int(record["number"]), text + b"\n") for record, text in standing(old).values()]
    named = [record for record, _ in old if is_word(record.get("server_duid"))]
    if named:
        # The lease that it came with may have ended.
        number = int(named[-1]["number"])
        kept.append((number, line(number, f'"action":"server","server_duid":"{named[-1]["server_duid"]}"')))
    whole = b"".join([*(text for _, text in sorted(kept)), *(text + b"\n" for _, text in recent), further])
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, b"." + name + b".new")
    mode = os.fstat(descriptor)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    new = os.open(temporary, flags, 0o600)
    try:
        try:
            put(new, 0, whole)
            os.fchmod(new, mode.st_mode & 0o777)
            if os.geteuid() == 0:
                os.fchown(new, mode.st_uid, mode.st_gid)
            os.fsync(new)
        finally:
            os.close(new)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def parsed(data: bytes) -> "list[tuple[dict[str, Any], bytes]]":
    """Return what the lines of a log say, each with the line; what is no event is left out."""
    import json

    found = []
    for text in data.split(b"\n"):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("number"), int):
            found.append((record, text))
    return found


def standing(
    lines: "list[tuple[dict[str, Any], bytes]]",
) -> "dict[object, tuple[dict[str, Any], bytes]]":
    """Return the last word on each address that is leased."""
    found = {}
    for record, text in lines:
        if record.get("action") in ("add", "old"):
            found[record.get("address")] = (record, text)
        elif record.get("action") == "del":
            found.pop(record.get("address"), None)
    return found


def lease_file(data: bytes) -> str:
    """Return the leases as dnsmasq reads them: those of IPv4, the server's DUID, and those of IPv6."""
    lines = parsed(data)
    duids = [record["server_duid"] for record, _ in lines if is_word(record.get("server_duid"))]
    old: list[str] = []
    new: list[str] = []
    for record, _ in standing(lines).values():
        address, expires = record.get("address"), record.get("expires") or 0
        is_new = ":" in str(address)
        first = record.get("iaid" if is_new else "mac")
        name, client_id = record.get("name") or "*", record.get("client_id") or "*"
        if isinstance(expires, int) and all(map(is_word, (first, address, name, client_id))):
            (new if is_new else old).append(f"{expires} {first} {address} {name} {client_id}\n")
    return "".join([*old, *(f"duid {one}\n" for one in duids[-1:]), *new])


def is_word(value: object) -> bool:
    """Whether a value is one plain word: dnsmasq reads its lease file by words."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return False
    return bool(value) and " " not in value and '"' not in value and "\\" not in value


# -- the socket ---------------------------------------------------------------------------------------


def send(path: bytes, data: bytes) -> None:
    """Send an event to whoever listens.

    Raises:
        OSError: nobody does, or not in time.
    """
    # Not "socket", whose import takes as long as all the rest.
    import _socket

    deadline = time.monotonic() + SOCKET_LIMIT
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(SOCKET_LIMIT)
        while True:
            try:
                connection.connect(path)
                break
            except BlockingIOError:  # Linux: too many others wait (unix(7))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nobody has taken the event for {SOCKET_LIMIT:g} s") from None
                time.sleep(0.01)
        connection.sendall(data)
    finally:
        connection.close()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Not sys.exit: to take down all that Python has set up takes a tenth of the time.
    os._exit(status)
