# SPDX-License-Identifier: BSD-2-Clause
"""Handshake messages that are not answered, from a stranger on the wan who speaks the protocol
(with dissononce's Noise): silence on the wire, the cause is counted, one line is logged, and the
tunnels that stand lose nothing."""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import struct
import time

import pytest
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.extras.meta.protocol.factory import NoiseProtocolFactory

import flows
import topology

RELAY, STRANGER = "192.0.2.2", "192.0.2.9"
MARKER, TAI64_UNIX = bytes(8), 2**62 + 10
TERMS = struct.Struct("<IBBH32s16sH")
GCM128, GCM256, ESN = 2, 4, 1
INIT_BYTES, MACS_BYTES, CNT = 240, 32, 10
# In INIT: see docs/sessions.md.
AT_VERSION, AT_STATIC, AT_OFFER = 9, 48, 96


def keypair():
    return X25519DH().generate_keypair(PrivateKey(os.urandom(32)))


class Stranger:
    """Somebody on the wire between gwa and the relay."""

    def __init__(self, net):
        space = net.wires[0].namespace
        space.run("ip", "address", "add", f"{STRANGER}/28", "dev", "bridge")
        net.relay.namespace.run("ip", "route", "add", "192.0.2.0/28", "dev", "wan0")
        self.sock = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((STRANGER, 4500))
        self.raw = space.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.raw.bind(("wire1", 0))
        self.own = keypair()
        self.relay = X25519DH().create_public(
            base64.b64decode(net.lab.key("relay")[1]))
        self.name = base64.b64encode(self.own.public.data).decode()

    def close(self):
        self.sock.close()
        self.raw.close()

    def with_macs(self, message, relay=None):
        key = hashlib.sha256(b"mac1----" + (relay or self.relay).data).digest()
        return message + hmac.new(key, message, hashlib.sha256).digest()[:16] + bytes(16)

    def start(self, initiator, own=None, relay=None, psk=bytes(32)):
        protocol = NoiseProtocolFactory().get_noise_protocol(
            "Noise_IKpsk2_25519_AESGCM_SHA256")
        state = protocol.create_handshakestate()
        state.initialize(protocol.pattern, initiator, b"relay-noise v1\1", s=own or self.own,
                         rs=(relay or self.relay) if initiator else None, psks=[psk])
        return state

    def init(self, caps=ESN | GCM128, spis=(0x01000401,), own=None, relay=None):
        """An INIT of now."""
        now = time.time_ns()
        made = struct.pack(">QI", TAI64_UNIX + now // 10**9, now % 10**9)
        noise = bytearray()
        self.start(True, own, relay).write_message(made + terms(caps, spis) + bytes(26), noise)
        return self.with_macs(MARKER + b"\1\1\0\0" + struct.pack("<I", 7) + bytes(noise), relay)

    def response(self, init, psk):
        """An answer to one of the relay's."""
        state, noise = self.start(False, psk=psk), bytearray()
        state.read_message(init[16:-MACS_BYTES], bytearray())
        state.write_message(terms(ESN | GCM128, (0x01000401,)) + bytes(6), noise)
        return self.with_macs(MARKER + b"\2\1\0\0" + struct.pack("<I", 7) + init[12:16] +
                              bytes(noise))

    def changed(self, message, at):
        """With a bit turned, and the mac1 that belongs to it."""
        data = bytearray(message[:-MACS_BYTES])
        data[at] ^= 1
        return self.with_macs(bytes(data))

    def send(self, message):
        self.sock.sendto(message, (RELAY, 4500))

    def heard(self, wait_s):
        """The first message that comes; None: silence."""
        self.sock.settimeout(wait_s)
        with contextlib.suppress(TimeoutError):
            return self.sock.recv(2048)


def terms(caps, spis):
    offered = struct.pack(f">{len(spis)}I", *spis).ljust(32, b"\0")
    return TERMS.pack(caps, 1, 11, 0, offered, bytes(16), 4500)


@pytest.fixture(scope="module")
def net(request, open_lab):
    with open_lab(request.node) as lab:
        net = topology.chain(lab, taps=True, mtu=1400, sessions=("blue",))
        net.lab = lab
        net.start()
        flows.learn_hosts(net)
        net.stranger = Stranger(net)
        yield net
        net.stranger.close()


@pytest.fixture
def known(net):
    """The relay has a tunnel for the stranger, who has to begin."""
    with tunnel_of_stranger(net) as name:
        yield name


@contextlib.contextmanager
def tunnel_of_stranger(net, *options):
    net.relay.cli("tunnel", "add", "stranger", "--tenant", "blue", "--peer", net.stranger.name,
                  "--allow", "10.99.0.0/16", *options)
    try:
        yield "stranger"
    finally:
        net.relay.cli("tunnel", "del", "stranger")


def failures(net, tunnel=None):
    told = net.relay.tunnel(tunnel)["sa"] if tunnel else net.relay.cli("status")["handshakes"]
    return {cause: cnt for cause, cnt in told["failures"].items() if cnt}


def lines(net, tunnel=None):
    """What the relay has logged about such messages."""
    whose = f"tunnel {tunnel}: " if tunnel else f"node {net.relay.name}: "
    return [line for line in net.relay.log().splitlines()
            if whose in line and "not answered" in line]


def to_stranger(frame):
    return frame[12:14] == b"\x08\x00" and frame[30:34] == socket.inet_aton(STRANGER)


def refuse(net, sends, tunnel=None):
    """sends: {cause: a function that sends ten messages which fail for it}. The tunnel: whose they
    are known to be."""
    before, elsewhere = failures(net, tunnel), failures(net, None if tunnel else "blue-a")
    lines_before = len(lines(net, tunnel))
    address = net.address("app2", "blue")
    with flows.Stream(net.app1["blue"], net.app2["blue"], address, 500) as there:
        there.wait(50)
        capture = net.wires[0].capture("silence")
        for cause, send in sends.items():
            send()
            topology.wait_for(lambda c=cause: failures(net, tunnel).get(c, 0) ==
                              before.get(c, 0) + CNT, 5, f"{CNT} messages are counted as {cause}")
        there.wait(150)
        frames = [bytes(frame) for frame in capture.stop().frames()]
        assert there.stop() == flows.ALL_ARRIVED
    assert not any(map(to_stranger, frames)), "it was answered"
    assert failures(net, tunnel) == before | {cause: before.get(cause, 0) + CNT for cause in sends}
    assert failures(net, None if tunnel else "blue-a") == elsewhere
    assert len(lines(net, tunnel)) == lines_before + 1, "one line, for a minute"
    return frames


def ten(net, message):
    """Sends a message, or what a function makes anew, ten times."""
    return lambda: [net.stranger.send(message() if callable(message) else message)
                    for _ in range(CNT)]


# ---- without knowing who sent them --------------------------------------------------------------


def test_messages_of_strangers(net):
    """With another public key of the relay, from nobody known, of another version, cut or
    stretched, with a public key that is forged; and answers that nobody waits for."""
    stranger, other = net.stranger, keypair()
    message = stranger.init()
    version = message[:AT_VERSION] + b"\2" + message[AT_VERSION + 1:]
    sizes = (8, 11, 12, 16, 72, 100, 164, 208, 239)
    cut = [message[:size] for size in sizes] + [message + b"\0"]
    answer = stranger.with_macs(MARKER + b"\2\1\0\0" + bytes(8) + os.urandom(112))
    refuse(net, {"mac1": ten(net, lambda: stranger.init(relay=other.public)),
                 "unknown_peer": ten(net, lambda: stranger.init(own=other)),
                 "version": ten(net, version),
                 "malformed": lambda: [stranger.send(text) for text in cut],
                 "not_authentic": ten(net, stranger.changed(message, AT_STATIC)),
                 "stale": ten(net, answer)})


# ---- of a peer ----------------------------------------------------------------------------------


def test_messages_of_a_peer(net, known):
    """For another cipher, without an SPI, forged."""
    stranger = net.stranger
    refuse(net, {"cipher": ten(net, lambda: stranger.init(caps=ESN | GCM256)),
                 "terms": ten(net, lambda: stranger.init(spis=())),
                 "not_authentic": ten(net, stranger.changed(stranger.init(), AT_OFFER))}, known)


def test_own_init_again(net, known):
    """The first one is answered; an earlier one is a replay too."""
    earlier, message = net.stranger.init(), net.stranger.init()
    net.stranger.send(message)
    assert net.stranger.heard(2)[8] == 2
    refuse(net, {"replayed": lambda: [net.stranger.send(each)
                                      for each in [message, earlier] * (CNT // 2)]}, known)


def test_other_psk(net):
    """It shows in the answer: the relay begins, and takes no answer without its PSK."""
    psk = os.urandom(32)
    path = net.lab.folder / "psk"
    path.touch(mode=0o600)
    path.write_text(base64.b64encode(psk).decode() + "\n")
    line_cnt = len(lines(net, "stranger"))
    with tunnel_of_stranger(net, "--endpoint", STRANGER, "--psk-file", path) as name:
        answer(net, bytes(32))
        topology.wait_for(lambda: failures(net, name).get("not_authentic", 0) == CNT, 2,
                          "all answers are counted")
        assert len(lines(net, name)) == line_cnt + 1
        assert net.relay.tunnel(name)["state"] == "shaking hands with the peer"
        answer(net, psk)
        topology.wait_for(lambda: net.relay.tunnel(name)["state"] == "up", 2, "it is up")


def answer(net, psk):
    """Answers the relay's next INIT ten times."""
    while net.stranger.heard(0.001):
        pass  # an earlier one
    init = net.stranger.heard(6)
    assert init and len(init) == INIT_BYTES
    response = net.stranger.response(init, psk)
    for _ in range(CNT):
        net.stranger.send(response)


def test_recorded_init(net):
    """The frames of a true one, as they were on the wire."""
    capture = net.wires[0].capture("record")
    keys = net.gwa.tunnel("blue-relay")["sa"]["out"]
    net.gwa.cli("tunnel", "rekey", "blue-relay")
    topology.wait_for(lambda: net.gwa.tunnel("blue-relay")["sa"]["out"] != keys, 8, "new keys")
    time.sleep(0.3)  # until the capture has got it
    inits = [bytes(frame) for frame in capture.stop().frames()
             if bytes(frame[42:52]) == MARKER + b"\1\1" and
             bytes(frame[30:34]) == socket.inet_aton(RELAY)]
    assert len(inits) == 1
    keys = net.gwa.tunnel("blue-relay")["sa"]["out"]
    frames = refuse(net, {"replayed": lambda: [net.stranger.raw.send(inits[0])
                                               for _ in range(CNT)]}, "blue-a")
    assert not any(frame[26:30] == socket.inet_aton(RELAY) and frame[42:50] == MARKER
                   for frame in frames if frame[12:14] == b"\x08\x00"), "it was answered"
    assert net.gwa.tunnel("blue-relay")["sa"]["out"] == keys
