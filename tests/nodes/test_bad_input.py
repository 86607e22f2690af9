# SPDX-License-Identifier: BSD-2-Clause
"""Bad packets on a node's wire: each is counted under its own reason and nothing else, nothing of
it is forwarded, and authenticated traffic goes on (Site.refuse checks all three)."""

import os
import random
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import foreign

WINDOW = 2048
CHUNK = 256  # packets in flight: well within every ring and the reserve
ETHER, OUTER, ESP, TRAILER, ICV = 14, 28, 16, 2, 16
IMPOSSIBLE = (0xFFFFFFFF, 0x00000100)  # SPIs beyond the table, and in slot 0


@pytest.fixture(scope="module")
def site(request, open_lab):
    with open_lab(request.node) as lab:
        made = foreign.Site(lab, lan_mtu=1280, tunnel_mtu=1200,
                            settings={"deny": ["203.0.113.0/24", "2001:db8:dead::/48"],
                                      "limits": {"control_per_source": 200}})
        made.start()
        yield made
        made.close()


@pytest.fixture(autouse=True)
def room(site):
    site.room(CHUNK)


def tunnel(site):
    return site.tunnels[0]


def good(site, **options):
    return site.sealed(tunnel(site).inner(b"payload" * 5), **options)


def chunks(items):
    return [items[at:at + CHUNK] for at in range(0, len(items), CHUNK)]


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


# ---- outer --------------------------------------------------------------------------------------


def test_datagram_cut_at_every_byte(site):
    """The lengths in the headers say the same: what is short is the ESP packet."""
    payload = good(site)[ETHER + OUTER:]
    frames, drops = [], {}
    for size in range(len(payload)):
        frames.append(site.datagram(payload[:size]))
        reason = ("outer_truncated" if size < 4 else
                  "esp_truncated" if size < ESP + 4 + ICV or size % 4 else "auth_failed")
        drops[reason] = drops.get(reason, 0) + 1
    assert len(drops) == 3
    site.refuse(frames, **drops)


@pytest.mark.parametrize("family", (4, 6))
def test_frame_cut_at_every_byte(site, family):
    """The headers say more than is there. Without both UDP ports it cannot be known as ours."""
    frame = site.datagram(good(site)[ETHER + OUTER:], family)
    ports = ETHER + {4: 20, 6: 40}[family] + 4
    cuts = range(ETHER + 1, len(frame))
    site.refuse([frame[:size] for size in cuts],
                outer_truncated=sum(size >= ports for size in cuts))


def test_udp_length_beyond_the_packet(site):
    frame = bytearray(good(site))
    struct.pack_into(">H", frame, ETHER + 24, len(frame) - ETHER - 20 + 1)
    site.refuse([frame], outer_truncated=1)


@pytest.mark.parametrize("family", (4, 6))
def test_outer_fragments(site, family):
    """The first is ours and dropped; later ones have no port and are the kernel's to judge."""
    datagram = Ether(site.datagram(good(site)[ETHER + OUTER:], family)).payload
    udp = bytes(datagram[UDP])
    if family == 4:
        head = {"src": foreign.PEER, "dst": foreign.NODE, "proto": 17, "id": 7}
        first = IP(flags="MF", **head) / Raw(udp[:48])
        second = IP(frag=6, **head) / Raw(udp[48:])
    else:
        head = IPv6(src=foreign.PEER6, dst=foreign.NODE6)
        first = head / IPv6ExtHdrFragment(nh=17, m=1, id=7) / Raw(udp[:48])
        second = head / IPv6ExtHdrFragment(nh=17, offset=6, id=7) / Raw(udp[48:])
    ether = Ether(src=site.peer_mac, dst=site.wan_mac)
    site.refuse([ether / second, ether / first, ether / first], outer_fragment=2)


@pytest.mark.parametrize("family, source", ((4, "203.0.113.7"), (6, "2001:db8:dead:1::7")))
def test_denied_outer_source(site, family, source):
    """Nothing of it counts, not even with the right keys."""
    site.refuse([site.datagram(good(site)[ETHER + OUTER:], family, source=source)] * 3,
                source_denied=3)


def test_unknown_spi(site):
    esp = good(site)[ETHER + OUTER:]
    spis = [tunnel(site).to_node.spi ^ 1, tunnel(site).to_node.spi + 1024, *IMPOSSIBLE]
    site.refuse([site.datagram(struct.pack(">I", spi) + esp[4:]) for spi in spis],
                spi_unknown=len(spis))


def test_flood_of_unknown_spis_is_limited_by_source(site):
    before = site.node.drops()
    flood = [site.datagram(struct.pack(">I", 0x00DEAD00 + k) + os.urandom(40),
                           source="192.0.2.77") for k in range(600)]
    assert site.pass_all(flood) == []
    drops = site.new_drops(before)
    assert set(drops) == {"spi_unknown", "spi_limited"} and sum(drops.values()) == len(flood)
    assert 200 <= drops["spi_unknown"] < 400  # a burst of one second's worth, and what refills
    # Another source is not touched by it.
    site.refuse([site.datagram(struct.pack(">I", 0x00DEAD00) + bytes(40),
                               source="192.0.2.78")], spi_unknown=1)


def control_messages(site):
    wan = site.node.cli("status")["interfaces"][0]
    return wan["control"]


def test_flood_of_forged_control_messages_is_limited(site):
    """Garbage behind a zero SPI: control reads some of it, changes nothing and lives on."""
    before, passed = site.node.drops(), control_messages(site)
    pid = site.node.pid("control")
    flood = [site.datagram(bytes(4) + os.urandom(k % 300), source="192.0.2.79")
             for k in range(600)]
    assert site.pass_all(flood) == []
    drops = site.new_drops(before)
    assert set(drops) == {"control_limited"}
    assert drops["control_limited"] + control_messages(site) - passed == len(flood)
    assert control_messages(site) - passed < 400
    assert site.node.pid("control") == pid


def test_keepalive_is_consumed(site):
    before = site.node.cli("status")["interfaces"][0]["keepalives"]
    site.refuse([site.datagram(b"\xff")] * 2)
    assert site.node.cli("status")["interfaces"][0]["keepalives"] - before == 2


# ---- ESP ----------------------------------------------------------------------------------------


def test_changed_byte_anywhere(site):
    """Every byte of IV, text and ICV; the sequence number is authenticated too."""
    frame = good(site)
    failures = site.node.tunnel("peer0")["auth_failures"]
    frames = [flipped(frame, at) for at in range(ETHER + OUTER + 8, len(frame))]
    later = struct.pack(">I", site.next["peer0"] + 5)
    frames.append(frame[:ETHER + OUTER + 4] + later + frame[ETHER + OUTER + 8:])
    site.refuse(frames, auth_failed=len(frames))
    assert site.node.tunnel("peer0")["auth_failures"] - failures == len(frames)
    # No trace of the forgeries: the packet itself, and the number one of them used, are good.
    assert site.pass_all([frame]) == [foreign.aged(tunnel(site).inner(b"payload" * 5))]


def test_wrong_key(site):
    other = foreign.Sa(tunnel(site).to_node.spi, site.lab.secret("another", 40))
    site.refuse([site.datagram(other.esp(site.sequence(), tunnel(site).inner()))], auth_failed=1)


def test_own_packets_reflected(site):
    """What the node sent does not open what it receives."""
    sent = [site.datagram(esp) for _, esp, _ in
            site.emit([site.outbound(tunnel(site), b"mine")] * 3, tunnel(site))]
    assert len(sent) == 3
    site.refuse(sent, spi_unknown=3)
    relabelled = [frame[:42] + struct.pack(">I", tunnel(site).to_node.spi) +
                  struct.pack(">I", site.sequence()) + frame[50:] for frame in sent]
    site.refuse(relabelled, auth_failed=3)


def test_replayed_packet(site):
    frame = good(site)
    replays = site.node.tunnel("peer0")["replays"]
    assert len(site.pass_all([frame])) == 1
    site.refuse([frame] * 5, replayed=5)
    assert site.node.tunnel("peer0")["replays"] - replays == 5


def test_sequence_number_zero(site):
    site.refuse([good(site, sequence=0)], replay_old=1)


def climb(site, packets):
    """Moves the window up by 500 numbers at a time, of which the last two are used. Returns the
    highest."""
    top = site.next["peer0"] + packets
    while site.next["peer0"] < top:
        site.room(512)
        site.next["peer0"] += 500
        assert site.pass_on(tunnel(site).inner(b"up"))
    site.room(2 * CHUNK)
    return site.next["peer0"] - 1


def test_reordered_within_the_window(site):
    """Every unused number of the window is taken once, in any order."""
    top = climb(site, 2 * WINDOW)
    unused = list(range(top - 499, top - 1)) + list(range(top - 1800, top - 1600))
    random.Random(4).shuffle(unused)
    inners = {n: tunnel(site).inner(b"%d" % n) for n in unused}
    frames = {n: site.sealed(inners[n], sequence=n) for n in unused}
    for part in chunks(unused):
        assert site.pass_all([frames[n] for n in part]) == [foreign.aged(inners[n]) for n in part]
    for part in chunks(unused):
        site.refuse([frames[n] for n in part], replayed=len(part))


def test_edge_of_the_window(site):
    top = climb(site, 2 * WINDOW)
    lowest = top - WINDOW + 1
    site.refuse([good(site, sequence=lowest - 1), good(site, sequence=1)], replay_old=2)
    # The good packet at the end of each check has moved the window on by one.
    site.refuse([good(site, sequence=lowest)], replay_old=1)
    assert len(site.pass_all([good(site, sequence=lowest + 2)])) == 1
    site.refuse([good(site, sequence=lowest + 2)], replay_old=1)


def test_number_beyond_the_reserve(site):
    """Nobody can move the window further than what a restart would remember."""
    limit = site.reserve(tunnel(site))["rx_limit"]
    site.refuse([good(site, sequence=limit + 100000), good(site, sequence=0xFFFFFFFF)],
                reserve_exhausted=2)


@pytest.mark.parametrize("name, trailer", (
    ("wrong bytes", lambda inner: b"\1\2\2" + bytes([3, 4])),
    ("zeros", lambda inner: bytes(7) + bytes([7, 4])),
    ("longer than the packet", lambda inner: bytes([255, 4])),
    ("one longer than the packet", lambda inner: bytes([len(inner) + 1, 4]))))
def test_bad_padding(site, name, trailer):
    inner = bytes(tunnel(site).inner(b"12"))  # 30 bytes
    text = inner + trailer(inner)
    text = bytes(-len(text) % 4) + text
    assert len(text) % 4 == 0
    site.refuse([site.datagram(tunnel(site).to_node.seal(site.sequence(), text))], padding_bad=1)


@pytest.mark.parametrize("next_header", (0, 6, 17, 50, 255))
def test_next_header_is_no_ip(site, next_header):
    site.refuse([good(site, next_header=next_header)], next_header_bad=1)


def test_dummy_packet_is_consumed(site):
    site.refuse([site.sealed(os.urandom(64), next_header=foreign.NONE)] * 1, dummy=1)


# ---- inner --------------------------------------------------------------------------------------


def garbage(site):
    v4, v6 = (bytes(tunnel(site).inner(b"data", family)) for family in (4, 6))
    noise = random.Random(1)
    return {
        "noise as IPv4": (b"\x45" + noise.randbytes(63), 4),
        "noise as IPv6": (b"\x60" + b"\xff" * 63, 41),
        "IPv6 under IPv4's number": (v6, 4),
        "IPv4 under IPv6's number": (v4, 41),
        "version 0": (b"\x05" + v4[1:], 4),
        "header length 4": (b"\x44" + v4[1:], 4),
        "header longer than the packet": (b"\x4f" + v4[1:], 4),
        "total length too long": (IP(src="10.9.0.5", dst=foreign.APP, len=41) / Raw(b"x" * 20),
                                  4),
        "total length below the header": (IP(src="10.9.0.5", dst=foreign.APP, len=19), 4),
        "wrong checksum": (flipped(v4, 10), 4),
        "19 bytes": (v4[:19], 4),
        "39 bytes": (v6[:39], 41),
        "payload length too long": (v6[:4] + b"\xff\xff" + v6[6:], 41),
        "nothing": (b"", 4),
    }


def test_inner_garbage(site):
    packets = garbage(site)
    frames = [site.sealed(bytes(inner), next_header=number) for inner, number in packets.values()]
    site.refuse(frames, inner_bad=len(packets))


def test_authentic_inner_noise_never_gets_through(site):
    noise = random.Random(2)
    before = site.node.drops()
    frames = [site.sealed(bytes([first]) + noise.randbytes(noise.randrange(1, 200)), next_header=n)
              for first, n in ((0x45, 4), (0x60, 41)) for _ in range(100)]
    assert site.pass_all(frames) == []
    drops = site.new_drops(before)
    assert set(drops) <= {"inner_bad", "inner_source_denied"}
    assert sum(drops.values()) == len(frames)


def test_inner_source_not_allowed(site):
    sources4 = ["10.9.1.5", "10.8.255.255", "10.1.0.2", "127.0.0.1", "0.0.0.0", "255.255.255.255"]
    sources6 = ["fd00:9:1::5", "fd00:1::2", "::1", "::", "fe80::1", "::ffff:10.9.0.5"]
    inners = [IP(src=source, dst=foreign.APP) / UDP() for source in sources4]
    inners += [IPv6(src=source, dst=foreign.APP6) / UDP() for source in sources6]
    site.refuse([site.sealed(inner) for inner in inners], inner_source_denied=len(inners))


def test_inner_destination_without_route(site):
    """Also the node's own addresses: what comes out of a tunnel does not reach the node."""
    inners = [IP(src="10.9.0.5", dst=target) / UDP(dport=22)
              for target in ("10.77.0.1", foreign.NODE, "127.0.0.1", "224.0.0.1", "8.8.8.8")]
    inners += [IPv6(src="fd00:9:0::5", dst=target) / UDP(dport=22)
               for target in ("fd00:77::1", foreign.NODE6, "::1", "ff02::1")]
    site.refuse([site.sealed(inner) for inner in inners], route_missing=len(inners))


def test_back_into_its_own_tunnel(site):
    inner = IP(src="10.9.0.5", dst="10.9.0.6") / UDP()
    site.refuse([site.sealed(inner)], route_missing=1)


@pytest.mark.parametrize("family", (4, 6))
def test_inner_ttl_zero_and_one(site, family):
    site.refuse([site.sealed(tunnel(site).inner(b"old", family, ttl)) for ttl in (0, 1)],
                ttl_expired=2)
    assert site.pass_on(tunnel(site).inner(b"just young enough", family, ttl=2))


@pytest.mark.parametrize("family", (4, 6))
def test_too_big_for_the_lan(site, family):
    head = {4: 28, 6: 48}[family]
    fits, exceeds = (tunnel(site).inner(b"x" * (size - head), family) for size in (1280, 1281))
    site.refuse([site.sealed(exceeds)], inner_too_big=1)
    assert site.pass_on(fits)


@pytest.mark.parametrize("family", (4, 6))
def test_too_big_for_the_tunnel(site, family):
    head = {4: 28, 6: 48}[family]
    fits, exceeds = (site.outbound(tunnel(site), b"x" * (size - head), family)
                     for size in (1200, 1201))
    before = site.node.drops()
    sent = site.emit([exceeds, fits], tunnel(site), timeout_s=1)
    assert [tunnel(site).to_peer.open(number, esp)[0] for number, esp, _ in sent] == \
        [foreign.aged(fits)]
    assert site.new_drops(before) == {"inner_too_big": 1}


def test_bad_packets_from_the_lan(site):
    """The lan's own packets are looked at as closely as those out of a tunnel."""
    before = site.node.drops()
    fine = site.outbound(tunnel(site), b"fine")
    forged = IP(src="10.2.0.2", dst="10.9.0.5") / UDP() / Raw(b"forged source")
    broken = flipped(bytes(fine), 10)
    old = IP(src=foreign.APP, dst="10.9.0.5", ttl=1) / UDP() / Raw(b"old")
    sent = site.emit([forged, broken, old, fine], tunnel(site), timeout_s=1)
    assert [tunnel(site).to_peer.open(number, esp) for number, esp, _ in sent] == \
        [(foreign.aged(fine), foreign.IPV4)]
    assert site.new_drops(before) == {"inner_source_denied": 1, "inner_bad": 1, "ttl_expired": 1}
