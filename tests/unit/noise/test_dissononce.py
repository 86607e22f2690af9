# SPDX-License-Identifier: BSD-2-Clause
"""The handshake against dissononce, an implementation of Noise in Python (Debian's
python3-dissononce), in both roles, in the messages as docs/sessions.md has them.

Everything around the Noise messages (layouts, MACs, cookies, the keys of SAs) is made here once more
from the document. NOISE_PEER names the program of the other end; meson sets it.
"""
import hashlib
import hmac
import json
import os
import struct
import subprocess
import unittest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

try:
    from dissononce.dh.x25519.x25519 import X25519DH
    from dissononce.dh.x25519.private import PrivateKey
    from dissononce.extras.meta.protocol.factory import NoiseProtocolFactory
except ImportError as error:
    raise SystemExit(f"{error}: run tools/setup, which installs python3-dissononce")

PROTOCOL = "Noise_IKpsk2_25519_AESGCM_SHA256"
PROLOGUE = b"relay-noise v1\1"
MARKER = bytes(8)
TERMS = struct.Struct("<IBBH32s16sH")
PSK = bytes(range(32))
INDEX = 0x0A0B0C0D
PEER_INDEX = 0x01020304  # noise_peer.c


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def terms_of(seed):
    """sides_terms() in sides.c."""
    return {"caps": 0b10011, "children": 1 + seed % 8, "window": 11, "mtu": 1400 + seed,
            "port": 4500 + seed, "address": bytes([seed] * 16).hex(),
            "spis": [0x01000400 * (i + 1) + seed for i in range(7)] + [0]}


def pack(terms):
    spis = struct.pack(">8I", *terms["spis"])
    return TERMS.pack(terms["caps"], terms["children"], terms["window"], terms["mtu"], spis,
                      bytes.fromhex(terms["address"]), terms["port"])


def unpack(data):
    caps, children, window, mtu, spis, address, port = TERMS.unpack(data)
    return {"caps": caps, "children": children, "window": window, "mtu": mtu, "port": port,
            "address": address.hex(), "spis": list(struct.unpack(">8I", spis))}


def sa(key, algorithm, key_bytes, handshake_hash):
    """The SA of child 3 and SPI 0x12345678: key, salt, IV mask."""
    info = b"relay esp" + bytes([1, algorithm, 3]) + bytes.fromhex("12345678") + handshake_hash
    okm = HKDFExpand(hashes.SHA256(), key_bytes + 12, info).derive(key)
    return okm[:key_bytes], okm[key_bytes:key_bytes + 4], int.from_bytes(okm[-8:], "big")


class Interop(unittest.TestCase):
    def setUp(self):
        self.ours = X25519DH().generate_keypair(PrivateKey(bytes([0x11] * 32)))
        private = bytes([0x22] * 32)
        self.theirs = X25519DH().generate_keypair(PrivateKey(private)).public
        self.peer = subprocess.Popen(
            [os.environ["NOISE_PEER"], private.hex(), self.ours.public.data.hex(), PSK.hex()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tearDown(self):
        self.peer.communicate(timeout=10)
        self.assertEqual(self.peer.returncode, 0)

    def ask(self, command, data=b""):
        self.peer.stdin.write(f"{command} {data.hex()}\n")
        self.peer.stdin.flush()
        return json.loads(self.peer.stdout.readline())

    def start(self, initiator, psk=PSK):
        protocol = NoiseProtocolFactory().get_noise_protocol(PROTOCOL)
        state = protocol.create_handshakestate()
        state.initialize(protocol.pattern, initiator, PROLOGUE, s=self.ours,
                         rs=self.theirs if initiator else None, psks=[psk])
        return state

    def with_macs(self, message):
        return message + mac(sha256(b"mac1----", self.theirs.data), message)[:16] + bytes(16)

    def check_mac1(self, wire):
        self.assertEqual(wire[-32:-16],
                         mac(sha256(b"mac1----", self.ours.public.data), wire[:-32])[:16])

    def init(self, state, terms=None):
        made = bytes(range(12))
        noise = bytearray()
        state.write_message(made + pack(terms or terms_of(9)) + bytes(26), noise)
        return self.with_macs(MARKER + b"\1\1\0\0" + struct.pack("<I", INDEX) + bytes(noise))

    def check_keys(self, said, state, ciphers, initiator):
        ours, theirs = ciphers if initiator else reversed(ciphers)
        handshake_hash = state.symmetricstate.get_handshake_hash()
        self.assertEqual(said["k_send"], theirs._key.hex())
        self.assertEqual(said["k_receive"], ours._key.hex())
        self.assertEqual(said["hash"], handshake_hash.hex())
        for name, key, algorithm, key_bytes in (("sa128", theirs, 1, 16), ("sa256", ours, 2, 32)):
            key, salt, mask = sa(key._key, algorithm, key_bytes, handshake_hash)
            self.assertEqual((said[name], said[name + "_salt"], said[name + "_mask"]),
                             (key.hex(), salt.hex(), mask))

    def test_we_start(self):
        state = self.start(True)
        wire = self.init(state)
        self.assertEqual(len(wire), 240)
        said = self.ask("answer", wire)
        self.assertEqual(said["made"], bytes(range(12)).hex())
        self.assertEqual({key: said[key] for key in terms_of(9)}, terms_of(9))
        response = bytes.fromhex(said["wire"])
        self.assertEqual(len(response), 164)
        self.assertEqual(response[:20],
                         MARKER + b"\2\1\0\0" + struct.pack("<II", PEER_INDEX, INDEX))
        self.check_mac1(response)
        payload = bytearray()
        ciphers = state.read_message(response[20:-32], payload)
        self.assertEqual(unpack(bytes(payload[:58])), terms_of(5))
        self.assertEqual(payload[58:], bytes(6))
        self.check_keys(said, state, ciphers, True)

    def test_they_start(self):
        wire = bytes.fromhex(self.ask("init")["wire"])
        self.assertEqual(wire[:16], MARKER + b"\1\1\0\0" + struct.pack("<I", PEER_INDEX))
        self.check_mac1(wire)
        state, payload = self.start(False), bytearray()
        state.read_message(wire[16:-32], payload)
        self.assertEqual(state.rs.data, self.theirs.data)
        self.assertEqual(payload[:12],
                         struct.pack(">QI", 2**62 + 10 + 1_700_000_000, 3))
        self.assertEqual(unpack(bytes(payload[12:70])), terms_of(3))
        self.assertEqual(payload[70:], bytes(26))
        noise = bytearray()
        ciphers = state.write_message(pack(terms_of(7)) + bytes(6), noise)
        said = self.ask("finish", self.with_macs(
            MARKER + b"\2\1\0\0" + struct.pack("<II", INDEX, PEER_INDEX) + bytes(noise)))
        self.assertEqual({key: said[key] for key in terms_of(7)}, terms_of(7))
        self.check_keys(said, state, ciphers, False)

    def test_other_psk(self):
        wire = bytes.fromhex(self.ask("init")["wire"])
        for psk, good in ((bytes(32), False), (PSK, True)):
            state, noise = self.start(False, psk), bytearray()
            state.read_message(wire[16:-32], bytearray())
            state.write_message(pack(terms_of(7)) + bytes(6), noise)
            said = self.ask("finish", self.with_macs(
                MARKER + b"\2\1\0\0" + struct.pack("<II", INDEX, PEER_INDEX) + bytes(noise)))
            self.assertEqual(said["error"] == 0, good)

    def cookie_key(self, public, nonce):
        return AESGCM(mac(sha256(b"cookie--", public), nonce[:16])), bytes(4) + nonce[16:]

    def test_we_get_a_cookie(self):
        wire = self.init(self.start(True))
        self.assertFalse(self.ask("mac2", wire)["valid"])
        reply = bytes.fromhex(self.ask("cookie", wire)["wire"])
        self.assertEqual(reply[:16], MARKER + b"\3\1\0\0" + struct.pack("<I", INDEX))
        gcm, iv = self.cookie_key(self.theirs.data, reply[16:40])
        cookie = gcm.decrypt(iv, reply[40:], wire[-32:-16])
        with self.assertRaises(InvalidTag):
            gcm.decrypt(iv, reply[40:], bytes(16))
        good = wire[:-16] + mac(cookie, wire[:-16])[:16]
        self.assertTrue(self.ask("mac2", good)["valid"])
        self.assertFalse(self.ask("mac2", self.init(self.start(True))[:-16] + good[-16:])["valid"])

    def test_they_get_a_cookie(self):
        wire = bytes.fromhex(self.ask("init")["wire"])
        self.assertEqual(wire[-16:], bytes(16))
        nonce, cookie = bytes(range(24)), bytes([0xC0] * 16)
        gcm, iv = self.cookie_key(self.ours.public.data, nonce)
        reply = MARKER + b"\3\1\0\0" + struct.pack("<I", PEER_INDEX) + nonce + \
            gcm.encrypt(iv, cookie, wire[-32:-16])
        self.assertEqual(self.ask("take", reply)["error"], 0)
        wire = bytes.fromhex(self.ask("init")["wire"])
        self.assertEqual(wire[-16:], mac(cookie, wire[:-16])[:16])


if __name__ == "__main__":
    unittest.main()
