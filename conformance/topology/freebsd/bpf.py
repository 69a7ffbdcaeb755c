"""Frames through bpf(4), with nothing but the standard library: this module is also run by itself inside guests."""

from __future__ import annotations

import fcntl
import os
import struct


def _ioc(direction: int, number: int, size: int) -> int:
    # sys/ioccom.h: direction, size of the argument, group "B", number.
    return direction | (size & 0x1FFF) << 16 | ord("B") << 8 | number


_IN, _INOUT = 0x80000000, 0xC0000000
_IFREQ = struct.Struct("16s16x")
# net/bpf.h
_BIOCSBLEN = _ioc(_INOUT, 102, 4)
_BIOCSETIF = _ioc(_IN, 108, _IFREQ.size)
_BIOCIMMEDIATE = _ioc(_IN, 112, 4)
_BIOCSHDRCMPLT = _ioc(_IN, 117, 4)
_BIOCSDIRECTION = _ioc(_IN, 119, 4)
_BPF_D_IN, _BPF_D_INOUT = 0, 1
#: struct bpf_hdr: time, captured length, length on the wire, length of this header; packets begin at whole longs.
_HEADER = struct.Struct("qqIIH")
_ALIGNMENT = struct.calcsize("l")
_BUFFER = 1 << 18


def attach(device: str, *, both_ways: bool = False) -> int:
    """Return a descriptor that gives the frames which a device receives, and takes frames for it to send.

    With ``both_ways`` it gives those as well that the stack sends by the device.

    Raises:
        OSError: there is no such device in this stack, or the kernel does not let it be looked at.
    """
    descriptor = os.open("/dev/bpf", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # The size has to be set before the device.
        fcntl.ioctl(descriptor, _BIOCSBLEN, struct.pack("I", _BUFFER))
        fcntl.ioctl(descriptor, _BIOCSETIF, _IFREQ.pack(device.encode()))
        direction = _BPF_D_INOUT if both_ways else _BPF_D_IN
        for request, value in ((_BIOCIMMEDIATE, 1), (_BIOCSHDRCMPLT, 1), (_BIOCSDIRECTION, direction)):
            fcntl.ioctl(descriptor, request, struct.pack("I", value))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def drain(descriptor: int) -> list[bytes]:
    """Return the frames that have arrived."""
    frames: list[bytes] = []
    while True:
        try:
            # Less than the whole buffer cannot be asked for.
            data = os.read(descriptor, _BUFFER)
        except BlockingIOError:
            return frames
        except OSError:
            # ENXIO: the device is gone. What has arrived before has been read.
            return frames
        if not data:
            return frames
        offset = 0
        while offset + _HEADER.size <= len(data):
            _, _, captured, _, header = _HEADER.unpack_from(data, offset)
            frames.append(data[offset + header : offset + header + captured])
            offset += (header + captured + _ALIGNMENT - 1) & -_ALIGNMENT
