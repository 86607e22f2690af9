# SPDX-License-Identifier: BSD-2-Clause
"""test_tshark.py - a capture of what we send, which tshark decrypts with the key alone."""
import subprocess

import pytest
from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from spw_esp import Sa

conf.verb = 0


def inner_packets():
    for n in range(6):
        yield bytes(IP(src="10.1.2.3", dst="10.4.5.6", ttl=9) / UDP(sport=100 + n, dport=7) /
                    Raw(b"inner %d" % n + b"." * n))
        yield bytes(IPv6(src="2001:db8:1::3", dst="2001:db8:4::6", hlim=9) /
                    UDP(sport=200 + n, dport=7) / Raw(b"inner %d" % n))


def uat(sa):
    return 'uat:esp_sa:"{}","*","*","0x{:08x}","AES-GCM with 16 octet ICV [RFC4106]","0x{}",' \
           '"NULL",""'.format("IPv4" if sa.outer == 4 else "IPv6", sa.spi, (sa.key + sa.salt).hex())


def tshark(capture, sa, *fields):
    command = ["tshark", "-r", capture, "-o", "esp.enable_encryption_decode:TRUE", "-o", uat(sa),
               "-o", "esp.enable_authentication_check:TRUE", "-T", "fields", "-E", "occurrence=l"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("key_bytes", (16, 32))
def test_tshark_decrypts(tmp_path, key_bytes, outer):
    sa = Sa(key=bytes(range(key_bytes)), salt=b"salt", spi=0x00ABC123, esn=False, outer=outer)
    packets = list(inner_packets())
    frames = sa.run("seal", 1, packets)
    capture = str(tmp_path / "esp.pcap")
    wrpcap(capture, [Ether(f) for f in frames])

    rows = tshark(capture, sa, "esp.sequence", "ip.src", "ipv6.dst", "udp.srcport", "udp.payload")
    assert len(rows) == len(packets)
    for number, (row, packet) in enumerate(zip(rows, packets), 1):
        inner = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
        assert row[0] == str(number)
        if inner.version == 4:
            assert row[1] == inner.src
        else:
            assert row[2] == inner.dst
        assert row[3] == str(inner[UDP].sport)
        assert bytes.fromhex(row[4]) == bytes(inner[Raw])

    # With another key tshark sees nothing: it was the key that opened them.
    other = Sa(key=bytes(key_bytes), salt=b"salt", spi=sa.spi, esn=False, outer=outer)
    for row in tshark(capture, other, "udp.srcport"):
        assert row == ["4500"]
