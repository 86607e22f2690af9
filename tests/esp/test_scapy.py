# SPDX-License-Identifier: BSD-2-Clause
"""test_scapy.py - our ESP against scapy's, both ways: 128 and 256 bits, ESN and not, IPv4 and IPv6
inside and outside."""
import itertools
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from spw_esp import PORT, Sa

conf.verb = 0

SPI = (4711 << 10) | 77
CASES = list(itertools.product((16, 32), (False, True), (4, 6), (4, 6)))


def case_id(case):
    key_bytes, esn, outer, inner = case
    return f"{key_bytes * 8}-{'esn' if esn else 'noesn'}-out{outer}-in{inner}"


pytestmark = pytest.mark.parametrize("case", CASES, ids=case_id)


def sa_of(case):
    key_bytes, esn, outer, _ = case
    return Sa(key=bytes(range(3, 3 + key_bytes)), salt=b"\xc0\xff\xee\x01", spi=SPI, esn=esn,
              outer=outer)


def scapy_of(sa, sequence):
    header = (IP(src="192.0.2.2", dst="192.0.2.1", ttl=60) if sa.outer == 4 else
              IPv6(src="2001:db8:ffff::2", dst="2001:db8:ffff::1", hlim=60))
    return SecurityAssociation(ESP, spi=sa.spi, crypt_algo="AES-GCM", crypt_key=sa.key + sa.salt,
                               tunnel_header=header, nat_t_header=UDP(sport=PORT, dport=PORT),
                               esn_en=sa.esn, esn=sequence >> 32)


def inner_packets(family):
    """Packets of all lengths modulo 4, with TTL 9."""
    ip = IP(src="10.1.2.3", dst="10.4.5.6", ttl=9) if family == 4 else \
        IPv6(src="2001:db8:1::3", dst="2001:db8:4::6", hlim=9)
    ping = ICMP(id=7) if family == 4 else ICMPv6EchoRequest(id=7)
    packets = [ip / UDP(sport=1, dport=2) / Raw(bytes(range(n))) for n in range(1, 9)]
    packets += [ip / TCP(sport=1, dport=2, seq=n) / Raw(b"x" * n) for n in (0, 500, 1350)]
    packets += [ip / ping / Raw(b"spillway")]
    return [bytes(p) for p in packets]


def aged(packet):
    """The packet as a router passes it on."""
    if packet[0] >> 4 == 6:
        ip = IPv6(packet)
        ip.hlim -= 1
    else:
        ip = IP(packet)
        ip.ttl -= 1
        del ip.chksum
    return bytes(ip)


def sequences(esn, count):
    """Around the border of 32 bits where that is not the end of the SA."""
    first = (5 << 32) - count // 2 if esn else 1000
    return range(first, first + count)


def test_scapy_opens_what_we_seal(case):
    sa = sa_of(case)
    packets = inner_packets(case[3])
    numbers = sequences(sa.esn, len(packets))
    frames = sa.run("seal", numbers[0], packets)
    for packet, sequence, frame in zip(packets, numbers, frames):
        frame = Ether(frame)
        esp = frame[ESP]
        assert frame[UDP].dport == PORT and frame[UDP].sport == PORT
        assert esp.spi == sa.spi and esp.seq == sequence & 0xFFFFFFFF
        assert esp.data[:8] == struct.pack(">Q", sequence ^ sa.iv_mask)
        outer = frame[IP] if sa.outer == 4 else frame[IPv6]
        check_outer(outer, frame[UDP])
        assert open_with_scapy(sa, sequence, outer) == aged(packet)
        padding, next_header = trailer_of(sa, sequence, esp)
        assert next_header == (4 if case[3] == 4 else 41)
        assert padding == bytes(range(1, len(padding) + 1)) and len(padding) < 4


def check_outer(outer, udp):
    """Lengths and checksums as scapy would fill them in itself."""
    again = outer.copy()
    if outer.version == 4:
        assert udp.chksum == 0 and outer.flags == "DF" and outer.tos == 0
        del again.chksum
        del again.len
    else:
        assert udp.chksum != 0
        del again.plen
        del again[UDP].chksum
    del again[UDP].len
    assert bytes(again.__class__(bytes(again))) == bytes(outer)


def open_with_scapy(sa, sequence, outer):
    """Returns the packet; raises IPSecIntegrityError where the ICV is wrong."""
    return bytes(scapy_of(sa, sequence).decrypt(outer.copy(), esn_en=sa.esn, esn=sequence >> 32))


def trailer_of(sa, sequence, esp):
    """Padding and next header, by RFC 4106 with the bare cipher: scapy cuts its padding wrongly."""
    high = struct.pack(">I", sequence >> 32) if sa.esn else b""
    aad = struct.pack(">I", esp.spi) + high + struct.pack(">I", esp.seq)
    text = AESGCM(sa.key).decrypt(sa.salt + esp.data[:8], esp.data[8:], aad)
    return text[-2 - text[-2]:-2], text[-1]


def seal_with_scapy(sa, sequence, packet):
    inner = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    iv = struct.pack(">Q", sequence * 0x9E3779B97F4A7C15 % 2**64)
    sealed = scapy_of(sa, sequence).encrypt(inner, seq_num=sequence & 0xFFFFFFFF, iv=iv)
    sealed[UDP].len = 8 + len(sealed[ESP])  # scapy leaves it at 8 over IPv4
    return bytes(Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / sealed)


def test_we_open_what_scapy_seals(case):
    sa = sa_of(case)
    packets = inner_packets(case[3])
    numbers = [n for n in sequences(sa.esn, len(packets)) if n & 0xFFFFFFFF]
    frames = [seal_with_scapy(sa, n, p) for n, p in zip(numbers, packets)]
    assert sa.run("open", numbers[0], frames) == [aged(p) for _, p in zip(numbers, packets)]


def test_we_refuse_what_is_changed(case):
    sa = sa_of(case)
    packet = inner_packets(case[3])[0]
    sequence = sequences(sa.esn, 1)[0] + 1
    frame = seal_with_scapy(sa, sequence, packet)
    flips = [frame[:k] + bytes([frame[k] ^ 1]) + frame[k + 1:] for k in (-1, -17, -20)]
    assert sa.run("open", 1 if not sa.esn else sequence, flips + [frame, frame]) == \
        ["drop auth_failed"] * 3 + [aged(packet), "drop replayed"]
