# SPDX-License-Identifier: BSD-2-Clause
"""Tunnels with fixed keys to another ESP implementation (scapy's), and what becomes of their
sequence numbers when a process dies, the node stops, or the reserve file is not what it was."""

import contextlib
import os
import pathlib
import signal
import struct
import time

import pytest
from scapy.layers.l2 import Ether

import foreign
import topology

KINDS = ((128, False, 4), (256, False, 6), (128, True, 6), (256, True, 4))
TX_BLOCK, TX_BLOCK_ESN = 1 << 24, 1 << 32
SIZES = (0, 1, 2, 3, 500, 1352)


# ---- the same bytes as scapy --------------------------------------------------------------------


@pytest.fixture(scope="module", params=(1, 2), ids=lambda workers: f"{workers}workers")
def site(request, open_lab):
    """With two workers some flows come to the one that has no SA of a foreign tunnel."""
    with open_lab(request.node) as lab:
        made = foreign.Site(lab, KINDS, settings={"workers": request.param})
        made.start()
        yield made
        made.close()


def kind_id(number):
    bits, esn, outer = KINDS[number]
    return f"{bits}-{'esn' if esn else 'noesn'}-out{outer}"


each_kind = pytest.mark.parametrize("number", range(len(KINDS)), ids=kind_id)


@each_kind
@pytest.mark.parametrize("family", (4, 6))
def test_node_opens_what_scapy_seals(site, number, family):
    tunnel = site.tunnels[number]
    inners = [tunnel.inner(os.urandom(size), family) for size in SIZES]
    before = site.node.tunnel(tunnel.name)
    frames = []
    for inner in inners:
        sequence = site.sequence(tunnel)
        own, node = ((foreign.PEER, foreign.NODE) if tunnel.outer == 4 else
                     (foreign.PEER6, foreign.NODE6))
        iv = struct.pack(">Q", sequence * 0x9E3779B97F4A7C15 % 2**64)
        sealed = tunnel.to_node.scapy(sequence, own, node).encrypt(
            inner.__class__(bytes(inner)), seq_num=sequence, iv=iv)
        sealed["UDP"].len = 8 + len(sealed["ESP"])  # scapy leaves it at 8 over IPv4
        frames.append(bytes(Ether(src=site.peer_mac, dst=site.wan_mac) / sealed))
    assert site.pass_all(frames) == [foreign.aged(inner) for inner in inners]
    after = site.node.tunnel(tunnel.name)
    last = 1 if number == 0 else 0  # pass_all ends with a packet of the first tunnel
    assert after["rx_packets"] - before["rx_packets"] == len(inners) + last
    assert (after["rx_drops"], after["auth_failures"], after["replays"]) == \
        (before["rx_drops"], 0, 0)


@each_kind
@pytest.mark.parametrize("family", (4, 6))
def test_scapy_opens_what_the_node_seals(site, number, family):
    tunnel = site.tunnels[number]
    inners = [site.outbound(tunnel, os.urandom(size), family) for size in SIZES]
    first = site.node.tunnel(tunnel.name)["tx_packets"] + 1
    sent = site.emit(inners, tunnel)
    assert [sequence for sequence, _, _ in sent] == list(range(first, first + len(inners)))
    own, node = ((foreign.PEER, foreign.NODE) if tunnel.outer == 4 else
                 (foreign.PEER6, foreign.NODE6))
    for (sequence, esp, outer), inner in zip(sent, inners):
        assert (outer.src, outer.dst) == (node, own)
        opened = tunnel.to_peer.scapy(sequence, node, own).decrypt(
            outer.copy(), esn_en=tunnel.to_peer.esn, esn=0)
        assert bytes(opened) == foreign.aged(inner)
        text, next_header = tunnel.to_peer.open(sequence, esp)
        assert (text, next_header) == (foreign.aged(inner), 4 if family == 4 else 41)
    assert len({esp[8:16] for _, esp, _ in sent}) == len(sent), "an IV was used twice"


@each_kind
def test_peer_that_has_jumped_far_ahead_is_followed(site, number):
    """It has restarted beyond a reserve of its own: refused at first, taken when the new bound is
    on disk; what lies below the window is old from then on. (With ESN an old number is taken for
    one 2^32 further on, which its ICV does not fit.)"""
    tunnel = site.tunnels[number]
    behind = site.sealed(tunnel.inner(b"behind"), tunnel=tunnel)
    drops = site.node.drops()
    site.next[tunnel.name] += 1 << 24
    topology.wait_for(lambda: site.pass_on(tunnel.inner(b"ahead"), tunnel, timeout_s=0.2), 5,
                      f"{tunnel.name} is followed")
    assert set(site.new_drops(drops)) == {"reserve_exhausted"}
    site.refuse([behind], **{"auth_failed" if tunnel.to_node.esn else "replay_old": 1})


def test_reserve_keeps_ahead_of_a_peer_that_starts_to_send(site):
    """From idle the reserve is 1,024 numbers; a peer that sends 5,000 packets/s uses that up before
    control would look at it on its own."""
    tunnel = site.tunnels[0]
    site.room(1000, tunnel)
    drops = site.node.drops()
    frames = [site.sealed(tunnel.inner(b"%d" % number), tunnel=tunnel) for number in range(3000)]
    site.app.drain()
    for first in range(0, len(frames), 10):
        for frame in frames[first:first + 10]:
            site.peer.send(frame)
        time.sleep(0.002)
    assert site.pass_on(tunnel.inner(b"and one more"), tunnel)
    assert "reserve_exhausted" not in site.new_drops(drops)


# ---- sequence numbers over a restart ------------------------------------------------------------


@pytest.fixture
def restarting(lab):
    made = foreign.Site(lab, ((128, False, 4), (256, True, 4)))
    made.start()
    yield made
    made.close()


def wait_down_and_up(site, pid):
    """Until another dataplane than pid runs, and its tunnels are up."""
    def another():
        with contextlib.suppress(topology.CliError):
            return site.node.pid("dataplane") not in (None, pid)
    topology.wait_for(another, 15, "another dataplane")
    site.node.wait_up()


def exchange(site):
    """Some packets both ways; returns the frames to the node and the numbers that it used."""
    frames, numbers = {}, {}
    for tunnel in site.tunnels:
        frames[tunnel.name] = [site.sealed(tunnel.inner(b"%d" % k), tunnel=tunnel)
                               for k in range(5)]
        assert len(site.pass_all(frames[tunnel.name])) == 5
        numbers[tunnel.name] = [number for number, _, _ in
                                site.emit([site.outbound(tunnel)] * 5, tunnel)]
        assert len(numbers[tunnel.name]) == 5
    return frames, numbers


def first_number(site, tunnel, high=0):
    """The sequence number of the next packet that the node sends, in full."""
    sent = site.emit([site.outbound(tunnel, b"how far?")], tunnel)
    assert len(sent) == 1
    number = high << 32 | sent[0][0]
    assert tunnel.to_peer.open(number, sent[0][1])[0] == \
        foreign.aged(site.outbound(tunnel, b"how far?"))
    return number


def refuses(site, tunnel, frames):
    """Old packets are refused; good ones go on beyond the reserve's bound."""
    site.refuse(frames, replay_old=len(frames))
    assert site.pass_on(tunnel.inner(b"on we go"), tunnel)


@pytest.mark.parametrize("victims", (("dataplane",), ("control", "dataplane")), ids="+".join)
def test_numbers_continue_beyond_the_reserve_after_a_kill(restarting, victims):
    site = restarting
    plain, extended = site.tunnels
    frames, numbers = exchange(site)
    bounds = {tunnel.name: site.reserve(tunnel) for tunnel in site.tunnels}
    unsent = {tunnel.name: site.sealed(tunnel.inner(b"held back"), tunnel=tunnel)
              for tunnel in site.tunnels}
    assert bounds["peer0"]["tx_limit"] > numbers["peer0"][-1] + TX_BLOCK // 2
    assert bounds["peer1"]["tx_limit"] > TX_BLOCK_ESN

    pids = {victim: site.node.pid(victim) for victim in victims}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    wait_down_and_up(site, pids["dataplane"])
    for tunnel in site.tunnels:
        site.next[tunnel.name] = bounds[tunnel.name]["rx_limit"]
    # Not one number below the bound that stood on disk, nor one beyond it left out.
    assert first_number(site, plain) == bounds["peer0"]["tx_limit"]
    assert first_number(site, extended, high=1) == bounds["peer1"]["tx_limit"]
    for tunnel in site.tunnels:
        refuses(site, tunnel, frames[tunnel.name] + [unsent[tunnel.name]])


def test_numbers_go_on_without_a_gap_when_the_node_was_stopped(restarting):
    site = restarting
    frames, numbers = exchange(site)
    assert site.node.stop() == 0
    site.node.start()
    site.node.wait_up()
    site.find_app()
    for tunnel in site.tunnels:
        assert first_number(site, tunnel) == numbers[tunnel.name][-1] + 1
        refuses(site, tunnel, frames[tunnel.name])


def test_numbers_stand_when_control_is_killed(restarting):
    """The SAs live in the dataplane: nothing is left out, nothing is lost, nothing is refused."""
    site = restarting
    frames, numbers = exchange(site)
    os.kill(site.node.pid("control"), signal.SIGKILL)
    for tunnel in site.tunnels:
        assert site.pass_on(tunnel.inner(b"without control"), tunnel)
    site.node.wait_ready()
    for tunnel in site.tunnels:
        assert first_number(site, tunnel) == numbers[tunnel.name][-1] + 1
        site.refuse(frames[tunnel.name], replayed=5)


# ---- the reserve file ---------------------------------------------------------------------------


def lose(path):
    path.unlink()


def restore(path):
    """As a backup does: the same bytes in another file, maybe an older truth."""
    copy = path.with_name("copy")
    copy.touch(0o600)
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def tear(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm, says", (
    (lose, "nobody knows which sequence numbers were used"), (restore, "copy or was restored"),
    (tear, "torn")), ids=("lost", "restored", "torn"))
def test_reserve_file_that_cannot_be_trusted_stops_only_its_tunnel(restarting, harm, says):
    site = restarting
    harmed, whole = site.tunnels
    frames, numbers = exchange(site)
    site.node.stop()
    harm(site.reserve_path(harmed))
    site.node.start()
    topology.wait_for(lambda: site.node.tunnel("peer1")["state"] == "up", 10, "peer1 is up")
    state = site.node.tunnel("peer0")["state"]
    assert says in state and "peer0.reserve" in state and "first-use" in state
    assert state in site.node.log()

    # Neither direction: what would have been good yesterday is an unknown SPI.
    before = site.node.drops()
    old, fresh = frames["peer0"][0], site.sealed(harmed.inner(b"fresh"), tunnel=harmed)
    for frame in (old, fresh):
        site.peer.send(frame)
    topology.wait_for(lambda: site.new_drops(before).get("spi_unknown") == 2, 5, "two drops")
    assert site.emit([site.outbound(harmed)], harmed, timeout_s=0.3) == []
    assert site.new_drops(before) == {"spi_unknown": 2, "sa_absent": 1}
    assert first_number(site, whole) == numbers["peer1"][-1] + 1

    if harm is not lose:  # a file that is there is never overwritten by the command
        with pytest.raises(topology.CliError) as refused:
            site.node.cli("tunnel", "first-use", "peer0")
        assert "has a reserve file already" in refused.value.error["message"]
        site.reserve_path(harmed).unlink()
    site.node.cli("tunnel", "first-use", "peer0")
    site.node.wait_up()
    assert first_number(site, harmed) == 1
    site.next["peer0"] = 1
    site.find_app()


def test_other_keys_do_not_take_over_a_reserve(restarting):
    site = restarting
    site.node.stop()
    secret = pathlib.Path(site.lab.secret("peer0-in", 40))
    secret.write_text(os.urandom(20).hex())
    site.node.start()
    topology.wait_for(lambda: site.node.tunnel("peer1")["state"] == "up", 10, "peer1 is up")
    assert "belongs to other keys" in site.node.tunnel("peer0")["state"]
    assert "peer0.reserve" in site.node.log()


def test_no_key_in_answers_and_logs(site):
    """Whatever is asked for, by whomever may ask: keys stay in the processes."""
    keys = [sa.key + sa.salt for tunnel in site.tunnels
            for sa in (tunnel.to_node, tunnel.to_peer)]
    answers = [site.node.cli(*words) for words in (("status",), ("tunnel", "list"), ("drops",))]
    answers += [site.node.tunnel(tunnel.name) for tunnel in site.tunnels]
    journal = pathlib.Path(site.lab.environment["SPW_RUN_DIR"]) / site.node.name / "journal"
    texts = [str(answers), site.node.log(), journal.read_bytes().decode(errors="replace")]
    for key in keys:
        for text in texts:
            assert key.hex() not in text.lower()
        assert key[:16] not in journal.read_bytes()
