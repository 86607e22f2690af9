# SPDX-License-Identifier: BSD-2-Clause
"""spillway-pktgen as a whole over DPDK's virtual devices: what it writes into a capture is read by
scapy, and what a ring brings back is measured.

SPW_PKTGEN names the program; meson sets it.
"""
import collections
import csv
import io
import json
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest
from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import RawPcapReader, wrpcap

conf.verb = 0

MAC = "02:00:00:00:00:99"
TAG = struct.Struct(">HHIII")
MAGIC = 0x5370
ETHER_BYTES = 14
MIX = {64: 7, 576: 4, 1408: 1}


def pktgen(*words, status=0, timeout=60):
    done = subprocess.run([os.environ["SPW_PKTGEN"], *map(str, words)], text=True,
                          capture_output=True, timeout=timeout)
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def measured(*words, **options):
    """The JSON object of a run."""
    return json.loads(pktgen("--json", "--warmup", 0, *words, **options).stdout)


def captured(folder, *words):
    """What a run writes into a capture: (JSON object, frames)."""
    path = folder / "out.pcap"
    path.unlink(missing_ok=True)
    told = measured("--tx", f"net_pcap0,tx_pcap={path}", "--gateway", MAC, "--rate", "max",
                    *words)
    frames = [frame for frame, _ in RawPcapReader(str(path))]
    assert told["sent"] == len(frames)
    return told, frames


def tag_of(payload):
    """(flow, sequence) of a test packet."""
    magic, _, flow, sequence, _ = TAG.unpack_from(payload)
    assert magic == MAGIC
    return flow >> 8, sequence


def check_packet(packet, size):
    """Lengths and checksums as scapy would fill them in itself; returns (flow, sequence)."""
    again = packet.copy()
    assert len(bytes(packet)) == size and Raw in packet
    assert packet[UDP].chksum != 0 and packet[UDP].dport == 9
    for field in ("chksum", "len") if packet.version == 4 else ("plen",):
        delattr(again, field)
    del again[UDP].chksum
    del again[UDP].len
    assert bytes(again.__class__(bytes(again))) == bytes(packet)
    return tag_of(bytes(packet[UDP].payload))


def write_sas(folder, lines):
    """A file of SAs from (way, spi, key, esn, outer source, outer destination, inner ...)."""
    text = ["# way SPI key ESN outer inner"]
    for way, spi, key, esn, *addresses in lines:
        (folder / f"{key.hex()[:8]}.key").write_text(key.hex() + "\n")
        text.append(f"{way} {spi:#x} {key.hex()[:8]}.key {'yes' if esn else 'no'} "
                    f"{' '.join(addresses)}  # a comment")
    (folder / "sas").write_text("\n".join(text) + "\n\n")
    return folder / "sas"


INNER = {4: ("10.64.0.0/24", "198.19.0.2-198.19.0.17"), 6: ("fd00:64::/120", "fd00:19::2")}
OUTER = {4: ("198.18.0.2", "198.18.0.1"), 6: ("2001:2::2", "[2001:2::1]:4501")}


# ---- packets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", (64, 65, 128, 999, 1408, 1500))
@pytest.mark.parametrize("family", (4, 6))
def test_plain_packets_are_valid(tmp_path, family, size):
    source, target = (("10.1.0.0/30", "10.2.0.1-10.2.0.3") if family == 4 else
                      ("fd00:1::/126", "fd00:2::1-fd00:2::3"))
    told, frames = captured(tmp_path, "--size", size, "--src", source, "--dst", target,
                            "--flows", 30, "--packets", 75)
    numbers, flows = collections.defaultdict(list), {}
    for frame in frames:
        ether = Ether(frame)
        assert ether.dst == MAC and len(frame) == ETHER_BYTES + size
        packet = (IP if family == 4 else IPv6)(frame[ETHER_BYTES:])
        flow, sequence = check_packet(packet, size)
        numbers[flow].append(sequence)
        flows.setdefault(flow, (packet.src, packet.dst, packet[UDP].sport))
        assert flows[flow] == (packet.src, packet.dst, packet[UDP].sport)
    assert len(set(flows.values())) == 30
    assert len({source for source, _, _ in flows.values()}) == 4
    assert len({target for _, target, _ in flows.values()}) == 3
    assert all(got == list(range(len(got))) for got in numbers.values())
    assert sorted(len(got) for got in numbers.values()) == [2] * 15 + [3] * 15
    assert told["sent_bytes"] == 75 * size


def test_imix_has_its_proportions(tmp_path):
    rounds = 341  # of 12 packets: a whole round of the shuffled order
    told, frames = captured(tmp_path, "--size", "imix", "--packets", 12 * rounds)
    sizes = collections.Counter(len(frame) - ETHER_BYTES for frame in frames)
    assert sizes == {size: weight * rounds for size, weight in MIX.items()}
    assert told["sizes"] == list(MIX) and told["sent_bytes"] == sum(
        size * weight * rounds for size, weight in MIX.items())


@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("key_bytes,esn", ((16, False), (32, True)))
def test_esp_packets_are_valid(tmp_path, key_bytes, esn, outer, inner):
    keys = {0x400 + n: bytes(range(n, n + key_bytes + 4)) for n in range(3)}
    sas = write_sas(tmp_path, [("tx", spi, key, esn, *OUTER[outer], *INNER[inner])
                               for spi, key in keys.items()])
    _, frames = captured(tmp_path, "--esp", sas, "--flows", 6, "--size", "64,101,102,103",
                         "--packets", 24)
    sequences, flows = collections.defaultdict(list), set()
    for frame in frames:
        packet = (IP if outer == 4 else IPv6)(frame[ETHER_BYTES:])
        assert (packet.src, packet.dst) == (OUTER[outer][0], "198.18.0.1" if outer == 4 else
                                            "2001:2::1")
        assert packet[UDP].dport == (4500 if outer == 4 else 4501)
        esp = ESP(bytes(packet[UDP].payload))
        check_outer(packet)
        plain = decrypted(packet, esp, keys[esp.spi], esn)
        flow, _ = check_packet(plain, len(bytes(plain)))
        flows.add(flow)
        sequences[esp.spi].append(esp.seq)
    assert len(flows) == 6
    assert sequences == {spi: list(range(1, 9)) for spi in keys}
    assert (tmp_path / "sas.sequence").read_text() == "9\n"


def check_outer(packet):
    again = packet.copy()
    if packet.version == 4:
        assert packet[UDP].chksum == 0 and packet.flags == "DF"
        del again.chksum, again.len
    else:
        assert packet[UDP].chksum != 0
        del again.plen, again[UDP].chksum
    assert packet[UDP].len == len(packet[UDP])
    assert bytes(again.__class__(bytes(again))) == bytes(packet)


def decrypted(packet, esp, key, esn):
    header = packet.__class__(src=packet.src, dst=packet.dst)
    sa = SecurityAssociation(ESP, spi=esp.spi, crypt_algo="AES-GCM", crypt_key=key,
                             tunnel_header=header, esn_en=esn, esn=0,
                             nat_t_header=UDP(sport=4500, dport=packet[UDP].dport))
    packet = packet.copy()
    packet[UDP].remove_payload()
    packet[UDP].add_payload(esp)
    return sa.decrypt(packet, esn_en=esn, esn=0)


# ---- sequence numbers ---------------------------------------------------------------------------


def esp_sequences(frames):
    return [ESP(frame[ETHER_BYTES + 28:]).seq for frame in frames]


def test_no_sequence_number_is_sent_twice(tmp_path):
    sas = write_sas(tmp_path, [("tx", 0x400, bytes(20), False, *OUTER[4], *INNER[4])])
    first = esp_sequences(captured(tmp_path, "--esp", sas, "--packets", 10)[1])
    again = esp_sequences(captured(tmp_path, "--esp", sas, "--packets", 10)[1])
    assert first == list(range(1, 11)) and again == list(range(11, 21))
    killed_after = kill_while_sending(sas)
    later = esp_sequences(captured(tmp_path, "--esp", sas, "--packets", 10)[1])
    assert killed_after >= 21 and later[0] >= killed_after


def kill_while_sending(sas):
    """The reserve that a killed run leaves behind."""
    process = subprocess.Popen(
        [os.environ["SPW_PKTGEN"], "--tx", "net_null0", "--esp", str(sas), "--gateway", MAC,
         "--warmup", "0", "--seconds", "30"], stdout=subprocess.PIPE, text=True)
    assert "tx" in process.stdout.readline()  # it has sent for a second
    process.kill()
    process.wait()
    return int(pathlib.Path(f"{sas}.sequence").read_text())


def test_without_esn_the_numbers_end(tmp_path):
    sas = write_sas(tmp_path, [("tx", 0x400, bytes(20), False, *OUTER[4], *INNER[4])])
    state = tmp_path / "sas.sequence"
    state.write_text(f"{2**32 - 5}\n")
    done = pktgen("--tx", "net_null0", "--esp", sas, "--gateway", MAC, "--warmup", 0, "--packets",
                  100, "--rate", "max", status=1)
    assert "used up" in done.stderr and "new keys" in done.stderr
    assert state.read_text() == f"{2**32}\n"
    pktgen("--tx", "net_null0", "--esp", sas, "--gateway", MAC, status=1)
    sas = write_sas(tmp_path, [("tx", 0x400, bytes(20), True, *OUTER[4], *INNER[4])])
    told, frames = captured(tmp_path, "--esp", sas, "--packets", 10)
    assert told["sent"] == 10 and esp_sequences(frames) == list(range(0, 10))


def test_a_broken_sequence_file_stops_it(tmp_path):
    sas = write_sas(tmp_path, [("tx", 0x400, bytes(20), False, *OUTER[4], *INNER[4])])
    (tmp_path / "sas.sequence").write_text("hello\n")
    done = pktgen("--tx", "net_null0", "--esp", sas, "--gateway", MAC, status=2)
    assert "expected the next sequence number" in done.stderr


# ---- measuring ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", (("--flows", 1000), ("--size", "imix"),
                                   ("--src", "fd00::/120", "--flows", 500)), ids=str)
def test_a_ring_gives_back_everything(words):
    told = measured("--tx", "net_ring0", "--rate", 50000, "--packets", 20000, *words)
    assert told["sent"] == told["received"] == 20000
    assert told["sent_bytes"] == told["received_bytes"]
    assert [told[key] for key in ("lost", "duplicates", "reordered", "late", "stale", "other",
                                  "unopened", "refused")] == [0] * 8
    delay = told["latency_ns"]
    ascending = [delay[key] for key in ("min", "p50", "p90", "p99", "p99_9", "max")]
    assert ascending == sorted(ascending) and delay["min"] > 0
    assert sum(second["sent"] for second in told["intervals"]) == 20000
    assert sum(second["received"] for second in told["intervals"]) == 20000


def test_two_cores_share_the_work():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core")
    told = measured("--tx", "net_ring0", "--cores", f"{cores[0]},{cores[1]}", "--rate", 20000,
                    "--packets", 10000)
    assert told["sent"] == told["received"] == 10000 and told["lost"] == 0


@pytest.mark.parametrize("esn", (False, True))
def test_esp_that_comes_back_is_decrypted_and_measured(tmp_path, esn):
    keys = [bytes([n]) * 20 for n in range(50)]
    sas = write_sas(tmp_path, [(way, 0x400 + n, key, esn, *OUTER[4], *INNER[4])
                               for n, key in enumerate(keys) for way in ("tx", "rx")])
    told = measured("--tx", "net_ring0", "--gateway", MAC, "--esp", sas, "--decrypt", sas,
                    "--flows", 200, "--size", 256, "--packets", 5000, "--rate", 20000)
    assert told["sent"] == told["received"] == 5000 and told["tunnels"] == 50
    assert told["received_bytes"] == 5000 * 256 and told["latency_ns"]["p50"] > 0
    assert told["refused"] == told["unopened"] == told["reordered"] == 0


def test_esp_is_counted_without_keys_and_refused_with_others(tmp_path):
    send, other = tmp_path / "send", tmp_path / "other"
    for folder, key in ((send, bytes(20)), (other, bytes([1] * 20))):
        folder.mkdir()
        write_sas(folder, [(way, 0x400, key, False, *OUTER[4], *INNER[4]) for way in ("tx", "rx")])
    words = ("--tx", "net_ring0", "--gateway", MAC, "--esp", send / "sas", "--packets", 500)
    told = measured(*words)
    assert told["received"] == told["unopened"] == 500 and told["lost"] == 0
    assert told["latency_ns"] is None
    told = measured(*words, "--decrypt", other / "sas")
    assert told["refused"] == 500 and told["received"] == 0 and told["lost"] == 500


def test_nothing_comes_back_from_nowhere():
    done = pktgen("--tx", "net_null0,no-rx=1", "--warmup", 0, "--packets", 10)
    assert "lost     10 (100 %)" in done.stdout and "nothing came back" in done.stdout


# ---- rates --------------------------------------------------------------------------------------


def test_no_more_is_sent_than_the_rate_allows():
    """Never more than is due. How exact it is shows test_measures.c, without a clock."""
    told = measured("--tx", "net_null0,no-rx=1", "--rate", "100kpps", "--seconds", 1)
    assert 50000 < told["sent"] + told["given_up"] <= 100000 and told["wanted_pps"] == 100000
    told = measured("--tx", "net_null0,no-rx=1", "--rate", "40mbit", "--size", 500, "--seconds", 1)
    assert 5000 < told["sent"] + told["given_up"] <= 10000
    assert told["wanted_pps"] == pytest.approx(10000)


# ---- captures -----------------------------------------------------------------------------------


def capture_of(path, times_s):
    """A capture of as many different frames."""
    packets = []
    for number, time_s in enumerate(times_s):
        packet = Ether(dst=MAC, src=MAC) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / \
            Raw(bytes([number % 256]) * (20 + number))
        packet.time = 1000 + time_s
        packets.append(packet)
    wrpcap(str(path), packets)
    return [bytes(packet) for packet in packets]


def replayed(folder, *words):
    out = folder / "out.pcap"
    out.unlink(missing_ok=True)
    told = measured("--tx", f"net_pcap0,tx_pcap={out}", "--pcap", folder / "in.pcap", *words)
    read = list(RawPcapReader(str(out)))
    return told, [frame for frame, _ in read], [
        meta.sec + meta.usec / (1e9 if meta.tsresol == 1000000000 else 1e6) for _, meta in read] \
        if hasattr(read[0][1], "tsresol") else [meta.sec + meta.usec / 1e6 for _, meta in read]


def test_a_capture_is_sent_as_it_is(tmp_path):
    frames = capture_of(tmp_path / "in.pcap", [n / 1000 for n in range(50)])
    told, sent, _ = replayed(tmp_path, "--rate", "max")
    assert sent == frames and told["traffic"] == "pcap" and told["sent"] == 50
    told, sent, _ = replayed(tmp_path, "--rate", "max", "--packets", 120)
    assert sent == (frames * 3)[:120]
    _, sent, _ = replayed(tmp_path, "--rate", "max", "--gateway", "02:00:00:00:00:07")
    assert [frame[12:] for frame in sent] == [frame[12:] for frame in frames]
    assert {frame[:6].hex() for frame in sent} == {"020000000007"}


@pytest.mark.parametrize("speed", (None, 4))
def test_a_capture_keeps_or_scales_its_timing(tmp_path, speed):
    """No frame leaves before its time; when it does leave is for test_frames.c, without a clock."""
    times_s = [0, 0.2, 0.2, 0.21, 0.6, 0.8]
    capture_of(tmp_path / "in.pcap", times_s)
    told, _, _ = replayed(tmp_path, *(("--speed", speed) if speed else ()))
    assert told["sent"] == len(times_s)
    assert told["seconds"] >= times_s[-1] / (speed or 1)


def test_a_replayed_capture_is_counted_when_it_comes_back(tmp_path):
    capture_of(tmp_path / "in.pcap", [n / 10000 for n in range(200)])
    told = measured("--tx", "net_ring0", "--pcap", tmp_path / "in.pcap")
    assert told["sent"] == told["received"] == 200 and told["lost"] == 0


@pytest.mark.parametrize("change,says", (
    (lambda data: b"\x0a\x0d\x0d\x0a" + data[4:], "pcapng"),
    (lambda data: b"hello" + data[5:], "no pcap file"),
    (lambda data: data[:10], "no pcap file"),
    (lambda data: data[:24], "no frame"),
    (lambda data: data[:-1], "frame 3: the file ends"),
    (lambda data: data + b"x", "frame 4: the file ends"),
    (lambda data: data[:20] + struct.pack("<I", 101) + data[24:], "link type is 101"),
    (lambda data: data[:36] + struct.pack("<I", 5000) + data[40:], "frame 1: the capture has not"),
    (lambda data: data[:32] + struct.pack("<II", 0xffffffff, 0xffffffff) + data[40:],
     "frame 1: the file ends"),
))
def test_a_broken_capture_is_refused(tmp_path, change, says):
    path = tmp_path / "in.pcap"
    capture_of(path, [0, 0.1, 0.2])
    path.write_bytes(change(path.read_bytes()))
    done = pktgen("--tx", "net_null0", "--pcap", path, status=2)
    assert says in done.stderr and str(path) in done.stderr


# ---- output and the end -------------------------------------------------------------------------


def test_csv_has_a_line_each_second():
    done = pktgen("--tx", "net_ring0", "--csv", "--seconds", 2.5, "--warmup", 0.2, "--rate", 10000)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [int(row["second"]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 3
    assert all(0 < int(row["p50_ns"]) <= int(row["p99_ns"]) for row in rows[:2])
    assert sum(int(row["sent"]) for row in rows) == sum(int(row["received"]) for row in rows) > 0


def test_a_search_names_ndr_pdr_and_the_delay():
    told = measured("--tx", "net_ring0", "--search", "--trial", 0.1, "--rate", "20kpps")
    assert told["ndr"]["lost"] == 0 and told["ndr"]["tx_pps"] <= 20500
    assert told["pdr"]["tx_pps"] >= told["ndr"]["tx_pps"] * 0.98
    assert [point["ndr_share"] for point in told["latency_at"]] == [0.9, 0.5]
    assert all(point["latency_ns"]["p99"] > 0 for point in told["latency_at"])
    assert len(told["trials"]) >= 3


def test_ctrl_c_ends_it_with_the_report():
    process = subprocess.Popen(
        [os.environ["SPW_PKTGEN"], "--tx", "net_ring0", "--warmup", "0", "--seconds", "60"],
        stdout=subprocess.PIPE, text=True)
    assert "tx" in process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0 and "sent " in rest and "lost     0" in rest
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("words,says,status", (
    (("--tx", "lan77"), "no such interface", 1),
    (("--tx", "net_nosuch0"), "DPDK cannot make this device", 1),
    (("--tx", "net_null0", "--esp", "/no/such/file"), "No such file", 1),
    (("--tx", "net_null0", "--cores", "9999"), "this process may run on", 2),
    (("--tx", "0000:ff:1f.7"), "vfio-pci", 1),
    (("--size", "10"), "--tx PORT", 2),
))
def test_what_cannot_be_opened_is_named(words, says, status):
    done = pktgen(*words, status=status)
    assert says in done.stderr and done.stdout == ""


@pytest.mark.parametrize("line,says", (
    ("up 0x400 k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "expected tx or rx"),
    ("tx 0x400 k no 10.0.0.1 10.0.0.2 10.0.0.3", "expected 8 words"),
    ("tx 0x400 k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 more", "expected 8 words"),
    ("tx 0xff k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "SPI"),
    ("tx SPI k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "SPI"),
    ("tx 0x400 k maybe 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "expected yes or no"),
    ("tx 0x400 k no 10.0.0.1 fd00::2 10.0.0.3 10.0.0.4", "of one family"),
    ("tx 0x400 k no 10.0.0.1 10.0.0.2 10.0.0.3 fd00::4", "of one family"),
    ("tx 0x400 k no 10.0.0.300 10.0.0.2 10.0.0.3 10.0.0.4", "an address such as"),
    ("tx 0x400 k no 10.0.0.1 10.0.0.2 10.0.0.3/8 10.0.0.4", "after the length"),
    ("tx 0x400 short no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "40 or 72 hex digits"),
    ("tx 0x400 missing no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "40 or 72 hex digits"),
    ("tx 0x500 k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4", "stands twice"),
))
def test_a_wrong_line_of_sas_is_named(tmp_path, line, says):
    (tmp_path / "k").write_text("ab" * 20)
    (tmp_path / "short").write_text("ab" * 19)
    (tmp_path / "sas").write_text(
        "tx 0x500 k no 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4\n" + line + "\n")
    done = pktgen("--tx", "net_null0", "--esp", tmp_path / "sas", status=2)
    assert says in done.stderr and f"{tmp_path / 'sas'}:2:" in done.stderr
    assert "abab" not in done.stderr


def test_node_config_is_written_once(tmp_path):
    folder = tmp_path / "load"
    done = pktgen("--write-node-config", folder, "--tunnels", 300)
    assert "spillway batch" in done.stdout
    keys = [path.read_text().strip() for path in (folder / "keys").iterdir()]
    assert len(keys) == len(set(keys)) == 600 and all(len(key) == 40 for key in keys)
    assert all(path.stat().st_mode & 0o77 == 0 for path in (folder / "keys").iterdir())
    assert len((folder / "tunnels").read_text().splitlines()) == 600
    again = pktgen("--write-node-config", folder, "--tunnels", 300, status=1)
    assert "not there yet" in again.stderr
    told = measured("--tx", "net_null0,no-rx=1", "--gateway", MAC, "--esp", folder / "sas",
                    "--packets", 600, "--rate", "max")
    assert told["tunnels"] == 300 and told["flows"] == 300 and told["sent"] == 600
