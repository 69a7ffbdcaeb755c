"""The program that opens sockets in a guest's stack, and hands their descriptors out: sockets work from anywhere.

It is started inside the jail as ``python -I -S opener.py DESCRIPTOR``, with a Unix socket. Each request is a message of
words with a zero byte between two: ``bpf DEVICE``, or ``udp`` or ``tcp`` and ``FAMILY ADDRESS PORT``. The answer is one
byte with the descriptor, or an error's number and words. The program ends with the socket.

It imports next to nothing, and not ``socket`` but what that is made of: there is one such program for each guest, and
where the processor is emulated its start is most of what a guest costs.
"""

import _socket
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import bpf  # type: ignore[import-not-found]


def opened(kind: str, *words: str) -> int:
    """Open what is asked for and return its descriptor.

    Raises:
        OSError: it cannot be had.
    """
    if kind == "bpf":
        descriptor: int = bpf.attach(*words)
        return descriptor
    family, address, port = words
    sock = _socket.socket(int(family), _socket.SOCK_STREAM if kind == "tcp" else _socket.SOCK_DGRAM)
    if kind == "tcp":
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    sock.bind((address, int(port)))
    return sock.detach()


def main() -> None:
    """Answer until nobody asks any more."""
    client = _socket.socket(fileno=int(sys.argv[1]))
    while True:
        request = client.recv(1 << 12)
        if not request:
            return
        try:
            descriptor = opened(*request.decode().split("\0"))
        except OSError as error:
            client.send(f"{error.errno}\0{error.strerror}".encode())
        else:
            rights = descriptor.to_bytes(4, sys.byteorder)
            client.sendmsg([b"+"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
            os.close(descriptor)


if __name__ == "__main__":
    main()
