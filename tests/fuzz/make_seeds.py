#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""make_seeds.py packet|noise FOLDER - writes a small corpus for a fuzzer: for fuzz_packet good
packets of every kind, for fuzz_noise good messages and changes of each of their parts."""
import os
import struct
import sys

WAN, LAN, LAN4, LAN6, TEXT, IPV4, IPV6, ESP = range(8)
OTHER, TIGHT = 8, 16


def v4(source, destination, bytes_total=40):
    return struct.pack(">BBHIBBH4s4s", 0x45, 0, bytes_total, 0, 64, 17, 0, bytes(source),
                       bytes(destination)) + bytes(bytes_total - 20)


def v6(source, destination, payload=20):
    net = bytes.fromhex("20010db8")
    return struct.pack(">IHBB", 0x60000000, payload, 17, 64) + \
        net + bytes([0, source]) + bytes(9) + b"\1" + \
        net + bytes([0, destination]) + bytes(9) + b"\5" + bytes(payload)


def udp_frame(payload, family):
    udp = struct.pack(">HHHH", 4501, 4500, 8 + len(payload), 0) + payload
    if family == 4:
        head = v4((192, 0, 2, 2), (192, 0, 2, 1))[:20]
        ip = head[:2] + struct.pack(">H", 20 + len(udp)) + head[4:] + udp
    else:
        ip = struct.pack(">IHBB", 0x60000000, len(udp), 17, 60) + bytes(32) + udp
    return bytes(12) + (b"\x08\x00" if family == 4 else b"\x86\xdd") + ip


def packets():
    """For fuzz_packet: the kind and the flags, then the packet."""
    for kind, text in kinds():
        for flags in (0, TIGHT):
            yield bytes([kind | flags]) + text


def kinds():
    spi = struct.pack(">I", (1 << 10) | 47)
    hosts = {LAN4: (10, 9, 0, 9), IPV4: (10, 1, 0, 1)}
    for kind, source in hosts.items():
        for destination in ((10, 1, 0, 1), (10, 2, 0, 1), (10, 3, 0, 1), (10, 9, 0, 5),
                            (10, 9, 0, 66), (10, 77, 0, 1)):
            yield kind, v4(source, destination)
    for destination in (1, 2, 3, 9, 77):
        yield LAN6, v6(9, destination)
        yield IPV6, v6(1, destination)
        yield IPV6 | OTHER, v6(3, destination)
    for trailer in (b"\0\4", b"\1\2\2\4", b"\0\x29", b"\0\x3b", b"\xff\4", b"\0\6"):
        yield TEXT, v4((10, 1, 0, 1), (10, 2, 0, 1), 42 - len(trailer) % 4) + trailer
    yield WAN, udp_frame(spi + bytes(40), 4)
    yield WAN, udp_frame(spi + bytes(40), 6)
    yield WAN, udp_frame(b"\xff", 4)
    yield LAN, bytes(12) + b"\x08\x00" + v4((10, 9, 0, 9), (10, 2, 0, 1))
    yield LAN, bytes(12) + b"\x81\x00\x00\x05\x86\xdd" + v6(9, 2)
    yield ESP, spi + struct.pack(">IQ", 1, 2) + bytes(32)


def messages():
    """For fuzz_noise: which message, flags, payload, changes."""
    macs, raw, payload = 1, 2, 4
    terms = struct.pack("<IBBH8I16xH", 19, 2, 11, 1400, *[1 << 10] * 8, 4500)
    for kind, size, said in ((0, 240, bytes(12) + terms + bytes(26)), (1, 164, terms + bytes(6)),
                             (2, 72, b"")):
        for flags in (0, macs):
            yield bytes([kind, flags])
            for offset in (0, 8, 9, 10, 12, 16, 20, 48, 52, 96, size - 33, size - 32, size - 1):
                yield bytes([kind, flags, offset, 1])
            yield bytes([kind, flags | raw]) + bytes(8) + bytes([kind + 1, 1]) + bytes(size - 10)
        yield bytes([kind, payload]) + said
        for offset in (16, 17, 20) if kind == 0 else (4, 5, 8):
            yield bytes([kind, payload]) + said[:offset] + b"\xff" + said[offset + 1:]


def main():
    corpora = {"packet": packets, "noise": messages}
    if len(sys.argv) != 3 or sys.argv[1] not in corpora:
        sys.exit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    for count, seed in enumerate(corpora[sys.argv[1]]()):
        with open(os.path.join(sys.argv[2], f"seed{count:03}"), "wb") as file:
            file.write(seed)


main()
