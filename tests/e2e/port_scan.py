# SPDX-License-Identifier: GPL-3.0-or-later
"""Which TCP ports of some machines are open: asks for every one of them (a SYN scan).

Runs inside a container on the machines' network, or on the host's:
python3 - ADDRESS … < port_scan.py.
Prints {address: [open ports]} as JSON. Needs CAP_NET_RAW, which containers have.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

SYN, RST, SYN_ACK = 0x02, 0x04, 0x12
BATCH = 8192
ANSWERS_WITHIN_S = 0.5
SEQUENCE = 0x5EED0000


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(source: str, target: str, own_port: int, port: int, flags: int) -> bytes:
    """A TCP segment without data."""
    sequence = SEQUENCE + (1 if flags == RST else 0)
    head = struct.pack("!HHIIBBHHH", own_port, port, sequence, 0, 5 << 4, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def answered(packet: bytes, target: str, own_port: int) -> int | None:
    """The port from which a packet says that it is open."""
    start = (packet[0] & 0x0F) * 4
    if packet[12:16] != socket.inet_aton(target) or len(packet) < start + 14:
        return None
    port, to = struct.unpack("!HH", packet[start : start + 4])
    return port if to == own_port and packet[start + 13] & SYN_ACK == SYN_ACK else None


def own_address(target: str) -> str:
    """The address from which a machine is reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
        unconnected.connect((target, 9))  # sends nothing
        return str(unconnected.getsockname()[0])


def scan(target: str, own_port: int) -> list[int]:
    """The open ports of a machine."""
    source, found = own_address(target), set()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        for first in range(1, 65536, BATCH):
            ports = range(first, min(first + BATCH, 65536))
            for port in ports:
                raw.sendto(segment(source, target, own_port, port, SYN), (target, 0))
            deadline = time.monotonic() + ANSWERS_WITHIN_S
            while select.select([raw], [], [], max(0.0, deadline - time.monotonic()))[0]:
                port_open = answered(raw.recv(256), target, own_port)
                if port_open:
                    found.add(port_open)
            # Nothing half open stays behind, neither there nor in a table of connections.
            for port in ports:
                raw.sendto(segment(source, target, own_port, port, RST), (target, 0))
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps({target: scan(target, 40000 + i) for i, target in enumerate(sys.argv[1:])}))
