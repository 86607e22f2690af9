# SPDX-License-Identifier: BSD-2-Clause
"""The command line against a node that is played by this test: what it asks, prints and exits with.
SPILLWAY names the program."""

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

SPILLWAY = os.environ["SPILLWAY"]

# The pair of RFC 7748, section 6.1 (Alice), in base64.
PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


class PlayedNode:
    """A control socket that records requests and gives prepared answers."""

    def __init__(self, base, name):
        (base / name).mkdir()
        self.requests, self.answers = [], {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(base / name / "control.sock"))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, client.makefile("rw") as stream:
                for line in stream:
                    request = json.loads(line)
                    self.requests.append(request)
                    answer = self.answers.get(request["method"], {"result": {}})
                    if isinstance(answer, str):
                        stream.write(answer)
                    else:
                        stream.write(json.dumps({"jsonrpc": "2.0", "id": 1, **answer}) + "\n")
                    stream.flush()

    def close(self):
        with contextlib.suppress(OSError):  # a test closes it early
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = pathlib.Path(folder.name)
        self.node = self.play("gw-a")

    def play(self, name):
        node = PlayedNode(self.base, name)
        self.addCleanup(node.close)
        return node

    def spillway(self, *words, status=0, text=None):
        done = subprocess.run([SPILLWAY, *words], text=True, input=text or "", cwd=self.base,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                              env={**os.environ, "SPW_RUN_DIR": str(self.base)})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def asked(self, *words, **options):
        """The only request that these words lead to."""
        self.node.requests.clear()
        self.spillway(*words, **options)
        self.assertEqual(len(self.node.requests), 1)
        return self.node.requests[0]["method"], self.node.requests[0].get("params")


class Keys(CliTest):
    def setUp(self):
        super().setUp()
        self.file = self.base / "node.key"

    def public(self, text, mode=0o600, status=0):
        self.file.unlink(missing_ok=True)
        self.file.write_text(text)
        self.file.chmod(mode)
        return self.spillway("key", "public", "node.key", status=status)

    def test_a_new_key_is_ours_alone_and_is_never_overwritten(self):
        printed = self.spillway("key", "generate", "node.key").stdout
        text = self.file.read_text()
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        private = base64.b64decode(text, validate=False)
        self.assertEqual((len(text), text[-1], len(private)), (45, "\n", 32))
        self.assertEqual((private[0] & 7, private[31] & 0xc0), (0, 0x40))
        self.assertEqual(self.spillway("key", "public", "node.key").stdout, printed)
        self.assertEqual(self.spillway("key", "public", "-", text=text).stdout, printed)
        self.assertNotIn(text.strip(), printed)
        refused = self.spillway("key", "generate", "node.key", status=1)
        self.assertIn("never overwritten", refused.stderr)
        self.assertEqual(self.file.read_text(), text)
        (self.base / "link").symlink_to("elsewhere")
        self.spillway("key", "generate", "link", status=1)
        self.assertFalse((self.base / "elsewhere").exists())
        self.assertEqual(self.node.requests, [])

    def test_no_umask_opens_it_and_no_two_are_the_same(self):
        seen = set()
        for name, umask in (("a", 0), ("b", 0o777)):
            before = os.umask(umask)
            self.addCleanup(os.umask, before)
            seen.add(self.spillway("key", "generate", name).stdout)
            os.umask(before)
            self.assertEqual(stat.S_IMODE((self.base / name).stat().st_mode), 0o600)
        self.assertEqual(len(seen), 2)

    def test_the_public_key_is_that_of_the_rfc(self):
        for text in (PRIVATE, PRIVATE + "\n"):
            self.assertEqual(self.public(text).stdout, PUBLIC + "\n")
        self.assertEqual(self.public(PRIVATE, mode=0o400).stdout, PUBLIC + "\n")
        shown = self.spillway("--json", "key", "public", "node.key").stdout
        self.assertEqual(json.loads(shown), {"public_key": PUBLIC})

    def test_what_others_may_read_or_what_is_no_key_is_refused(self):
        for mode in (0o640, 0o604, 0o660, 0o700, 0o644):
            self.assertIn("0600 or 0400", self.public(PRIVATE, mode, status=1).stderr)
        for text in ("", PRIVATE[:-1], PRIVATE + "\n\n", PRIVATE + "x", PRIVATE * 2,
                     PRIVATE[:-2] + "p=", "0" * 64):
            refused = self.public(text, status=1).stderr
            self.assertIn("there is no key in it", refused)
            self.assertNotIn(PRIVATE[:20], refused)
        self.assertIn("No such file", self.spillway("key", "public", "gone", status=1).stderr)
        self.assertIn("not a regular", self.spillway("key", "public", ".", status=1).stderr)


class Sessions(CliTest):
    def test_a_session_is_shown_without_what_never_happened(self):
        sa = {"keying": "session", "state": "up", "peer": PUBLIC, "endpoint": None,
              "endpoint_learned": False, "handshake_age_s": None, "rekeys": 3, "tries": 0,
              "failures": {"timeout": 2, "bad mac": 0}, "in": [{"spi": 1025, "worker": 0}],
              "out": []}
        self.node.answers["tunnel.show"] = {"result": {"name": "a", "remote": None, "sa": sa}}
        shown = self.spillway("tunnel", "show", "a").stdout
        self.assertIn(PUBLIC, shown)
        self.assertIn("not known until the peer speaks", shown)
        self.assertRegex(shown, r"handshake_age_s +never")
        self.assertRegex(shown, r"timeout +2")
        self.assertNotIn("bad mac", shown)
        sa.update(failures={"timeout": 0}, endpoint="192.0.2.1:4500", handshake_age_s=61)
        shown = self.spillway("tunnel", "show", "a").stdout
        self.assertNotIn("failures", shown)
        self.assertRegex(shown, r"handshake_age_s +1m 1s")
        self.node.answers["tunnel.list"] = {"result": [{"name": "a", "remote": None}]}
        self.assertIn("not known yet", self.spillway("tunnel", "list").stdout)


class Requests(CliTest):
    def test_each_command_makes_its_request(self):
        here = os.path.realpath(self.base)
        for words, method, params in [
                ("status", "status", {}),
                ("drops", "drops", {}),
                ("tunnel list", "tunnel.list", {}),
                ("tunnel show a", "tunnel.show", {"name": "a"}),
                ("tunnel del a", "tunnel.del", {"name": "a"}),
                ("tunnel first-use a", "tunnel.first_use", {"name": "a"}),
                ("tunnel rekey a", "tunnel.rekey", {"name": "a"}),
                (f"tunnel add a --peer {PUBLIC} --endpoint 192.0.2.1:4501 --psk-file p.key "
                 "--allow 10.0.0.0/8 --cipher aes-256-gcm", "tunnel.add",
                 {"name": "a", "peer": PUBLIC, "endpoint": "192.0.2.1:4501",
                  "psk_file": f"{here}/p.key", "allow": ["10.0.0.0/8"],
                  "cipher": "aes-256-gcm"}),
                ("tunnel add a --tenant b --remote 192.0.2.1:4501 --allow 10.0.0.0/8 fd00::/64 "
                 "--mtu 1400 --secret-file s.key --cipher aes-256-gcm", "tunnel.add",
                 {"name": "a", "tenant": "b", "remote": "192.0.2.1:4501", "mtu": 1400,
                  "allow": ["10.0.0.0/8", "fd00::/64"],
                  "cipher": "aes-256-gcm", "static": {"secret_file": f"{here}/s.key"}}),
                ("tunnel add a --remote 2001:db8::1 --allow 10.0.0.0/8 --tenant b --esn "
                 "--in-spi 0x10001 --in-key /k/i --out-spi 66 --out-key /k/o --first-use",
                 "tunnel.add",
                 {"name": "a", "tenant": "b", "remote": "2001:db8::1", "allow": ["10.0.0.0/8"],
                  "foreign": {"in": {"spi": 65537, "key_file": "/k/i"},
                              "out": {"spi": 66, "key_file": "/k/o"}, "esn": True,
                              "first_use": True}}),
                ("route list", "route.list", {}),
                ("route list tenant b", "route.list", {"tenant": "b"}),
                ("route add 10.0.0.0/8 tunnel a tenant b", "route.add",
                 {"prefix": "10.0.0.0/8", "tunnel": "a", "tenant": "b"}),
                ("route add tenant b tunnel a fd00::/64", "route.add",
                 {"prefix": "fd00::/64", "tunnel": "a", "tenant": "b"}),
                ("route del 10.0.0.0/8 tenant b", "route.del",
                 {"prefix": "10.0.0.0/8", "tenant": "b"}),
                ("rate list", "rate.list", {}),
                ("rate set tunnel a 50mbit", "rate.set", {"tunnel": "a", "rate": "50mbit"}),
                ("rate set tunnel a 1.5gbit direction in burst 100000", "rate.set",
                 {"tunnel": "a", "rate": "1.5gbit", "direction": "in", "burst_bytes": 100000}),
                ("rate set tenant b none", "rate.set", {"tenant": "b", "rate": "none"}),
                ("rate set relay ab 5mbit packets 900", "rate.set",
                 {"relay": "ab", "rate": "5mbit", "packets": 900}),
                ("relay show", "relay.show", {}),
                ("relay show ab", "relay.show", {"name": "ab"}),
                ("relay add ab --port 51820 --between 192.0.2.1:5 any --packets 9 --rate 1mbit",
                 "relay.add", {"name": "ab", "port": 51820, "between": ["192.0.2.1:5", "any"],
                               "packets": 9, "rate": "1mbit"}),
                ("relay del ab", "relay.del", {"name": "ab"}),
                ("relay arm ab", "relay.arm", {"name": "ab"}),
                ("relay arm ab --for 5m", "relay.arm", {"name": "ab", "for": "5m"})]:
            with self.subTest(words):
                self.assertEqual(self.asked(*words.split(), "--json"), (method, params))

    def test_what_is_not_understood_asks_nothing(self):
        for words, said in [
                ("", "usage: spillway"),
                ("tunel list", 'did you mean "tunnel"?'),
                ("tunnel", "expected: list, show, add, del, first-use or rekey"),
                ("tunnel lst", 'did you mean "list"?'),
                ("frobnicate", "expected: run, status, tunnel"),
                ("status now", '"now" is not understood'),
                ("tunnel show", "NAME is missing"),
                ("tunnel show Blue!", "NAME"),
                ("tunnel del a b", '"b" is not understood'),
                ("tunnel add a --tenant b --remote 192.0.2.1 --allow 10.0.0.0/8", "no keys"),
                ("tunnel add a --tenant b --remote 192.0.2.1 --allow 10.0.0.0/8 --secret-file s "
                 "--in-spi 70000", "exclude each other"),
                ("tunnel add a --tenant b --remote 192.0.2.1 --allow 10.0.0.0/8 --in-spi 70000",
                 "both directions"),
                ("tunnel add a --peer AAEC --allow ::/0", "44 characters"),
                (f"tunnel add a --peer {PUBLIC} --allow ::/0 --remote 192.0.2.1", "--endpoint in"),
                ("tunnel add a --allow ::/0 --endpoint 192.0.2.1 --secret-file s", "--remote in"),
                ("tunnel add a --allow ::/0 --remote 192.0.2.1 --secret-file s --psk-file p",
                 "--psk-file with --peer only"),
                ("tunnel add a --allow ::/0 --secret-file s", "--remote is missing"),
                (f"tunnel add a --peer {PUBLIC} --allow ::/0 --secret-file s", "exclude each other"),
                ("key", "expected: generate or public"),
                ("key public", "FILE is missing"),
                ("tunnel add a --tennant b", 'did you mean "--tenant"?'),
                ("tunnel add a --tenant b --tenant c", "--tenant is given twice"),
                ("tunnel add a --allow --tenant b", "--allow needs a value"),
                ("tunnel add a --mtu 12x", "a number"),
                ("tunnel add a --cipher rot13", "aes-128-gcm|aes-256-gcm"),
                ("tunnel add a --remote 192.0.2", "--remote"),
                ("route add 10.0.0.1/8 tunnel a tenant b", "expected: a prefix"),
                ("route add 10.0.0.0/8 tunnel a", "tenant is missing"),
                ("rate set 50mbit", "whose rate?"),
                ("rate set tunnel a tenant b 50mbit", "not for several"),
                ("rate set tenant b 50mbit direction in", "no direction"),
                ("rate set tunnel a fast", "RATE"),
                ("rate set tunnel a 50mbit direction up", "in|out|both"),
                ("relay", "expected: show, add, del or arm"),
                ("relay add ab --port 5 --between any", "joins two endpoints"),
                ("relay add ab --port 5 --between a b c", "joins two endpoints"),
                ("relay add ab --between a b", "--port is missing"),
                ("relay arm", "NAME is missing"),
                ("status --node", "--node needs a name")]:
            with self.subTest(words):
                done = self.spillway(*words.split(), status=2)
                self.assertIn(said, done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.node.requests, [])

    def test_help_teaches_and_asks_nothing(self):
        overview = self.spillway("--help").stdout
        for words in ("run", "status", "tunnel show", "route add", "rate set", "batch", "drops",
                      "relay arm"):
            self.assertIn(words, overview)
            page = self.spillway(*words.split(), "--help").stdout
            self.assertIn(f"usage: spillway {words}", page)
            self.assertIn(f"  spillway {words}", page[page.index("example"):])
        self.assertIn("tunnel first-use", self.spillway("tunnel", "--help").stdout)
        self.spillway("tunnel", "lst", "--help", status=2)
        self.assertEqual(self.node.requests, [])


class Answers(CliTest):
    def test_json_is_the_result_and_nothing_else(self):
        result = [{"name": "a", "tenant": "b", "rx_bytes": 1536, "odd": None}]
        self.node.answers["tunnel.list"] = {"result": result}
        self.assertEqual(json.loads(self.spillway("--json", "tunnel", "list").stdout), result)

    def test_text_has_units_and_columns(self):
        self.node.answers["tunnel.list"] = {"result": [
            {"name": "a", "tenant": "blue", "remote": "192.0.2.1:4500", "state": "up",
             "rx_bytes": 1536, "tx_bytes": 3 << 30, "rx_packets": 7, "tx_packets": 12345,
             "rx_drops": 0, "tx_drops": 1}]}
        lines = self.spillway("tunnel", "list").stdout.splitlines()
        self.assertEqual(len(lines), 2)
        for word in ("blue", "192.0.2.1:4500", "1.5 KiB", "3 GiB", "12345"):
            self.assertIn(word, lines[1])
        self.assertEqual(lines[0].index("STATE"), lines[1].index("up"))
        self.node.answers["rate.list"] = {"result": [
            {"kind": "tunnel", "name": "a", "direction": "in", "rate_kbit": 50000,
             "burst_bytes": 312500}]}
        self.assertIn("50 Mbit/s", self.spillway("rate", "list").stdout)
        end = {"remote": "192.0.2.9:5", "kind": "pinned", "packets": 7, "bytes": 2048, "drops": 0}
        relay = {"name": "ab", "port": 51820, "state": "armed", "armed_s": 61, "a": end,
                 "b": {**end, "remote": None}, "foreign_drops": 3}
        self.node.answers["relay.show"] = {"result": [relay]}
        self.assertRegex(self.spillway("relay", "show").stdout.splitlines()[1],
                         "ab +51820 +armed +1m 1s +192.0.2.9:5 +- +2 KiB")
        self.node.answers["relay.show"] = {"result": relay}
        self.assertRegex(self.spillway("relay", "show", "ab").stdout, "kind +pinned")
        self.node.answers["tunnel.show"] = {"result": {
            "name": "a", "allow": ["10.0.0.0/8", "fd00::/64"], "idle_s": 192,
            "sa": {"in": [{"spi": 65537, "worker": 0}]}}}
        shown = self.spillway("tunnel", "show", "a").stdout
        for text in ("10.0.0.0/8, fd00::/64", "3m 12s", "0x00010001"):
            self.assertIn(text, shown)

    def test_drops_leave_out_zeros_in_text_only(self):
        drops = [{"reason": "replayed", "where": "esp_in", "text": "seen before", "packets": 3},
                 {"reason": "auth_failed", "where": "esp_in", "text": "wrong", "packets": 0}]
        self.node.answers["drops"] = {"result": drops}
        text = self.spillway("drops").stdout
        self.assertIn("replayed", text)
        self.assertNotIn("auth_failed", text)
        self.assertEqual(json.loads(self.spillway("drops", "--json").stdout), drops)
        self.node.answers["drops"] = {"result": drops[1:]}
        self.assertEqual(self.spillway("drops").stdout, "no packet was dropped\n")

    def test_empty_lists_say_so(self):
        for words, text in (("tunnel list", "no tunnels"), ("route list", "no routes"),
                            ("rate list", "no caps"), ("relay show", "no relays")):
            self.node.answers[words.replace(" ", ".")] = {"result": []}
            self.assertIn(text, self.spillway(*words.split()).stdout)

    def test_refusals(self):
        for code, data, status in ((-32000, {"errno": "EEXIST"}, 1),
                                   (-32000, {"errno": "ENOENT"}, 2),
                                   (-32602, {"expected": "a tunnel"}, 2),
                                   (-32601, {"expected": ["status", "drops"]}, 2)):
            error = {"code": code, "message": "it is so", "data": data}
            self.node.answers["tunnel.del"] = {"error": error}
            done = self.spillway("tunnel", "del", "a", status=status)
            self.assertIn("it is so", done.stderr)
            self.assertEqual(done.stdout, "")
            done = self.spillway("tunnel", "del", "a", "--json", status=status)
            self.assertEqual(json.loads(done.stdout), {"error": error})
            self.assertEqual(done.stderr, "")

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        refusal = {"error": {"code": -32000, "message": "no", "data": {"errno": "ENOENT"}}}
        for method in ("tunnel.show", "route.add"):
            self.node.answers[method] = refusal
        self.node.answers["tunnel.list"] = {"result": [{"name": "to-relay"}, {"name": "swan"}]}
        self.node.answers["rate.list"] = {"result": [{"kind": "tenant", "name": "blue"},
                                                     {"kind": "tunnel", "name": "swan"}]}
        self.assertIn("expected: to-relay? There is: to-relay, swan",
                      self.spillway("tunnel", "show", "to-rely", status=2).stderr)
        said = self.spillway("route", "add", "10.0.0.0/8", "tunnel", "swan", "tenant", "bleu",
                             status=2).stderr
        self.assertIn("expected: blue? There is: blue\n", said)

    def test_an_unknown_name_in_a_batch(self):
        self.node.answers["batch"] = {"error": {
            "code": -32000, "message": "no", "data": {"errno": "ENOENT", "line": 2}}}
        self.node.answers["relay.show"] = {"result": [{"name": "ab"}]}
        said = self.spillway("batch", "-", status=2,
                             text="rate set tenant b none\nrate set relay ac 5mbit\n").stderr
        self.assertIn("stdin:2: no", said)
        self.assertEqual(said.count("expected"), 1)
        self.assertIn("expected: ab? There is: ab\n", said)

    def test_an_answer_that_is_none(self):
        for answer in ("nonsense\n", "{}\n", '{"error": 1}\n', "[]\n"):
            self.node.answers["status"] = answer
            self.assertIn("no JSON-RPC", self.spillway("status", status=1).stderr)


class Nodes(CliTest):
    def test_the_only_node_needs_no_name(self):
        self.spillway("status")
        self.assertEqual(len(self.node.requests), 1)

    def test_several_nodes_are_listed(self):
        other = self.play("gw-b")
        (self.base / "dead").mkdir()
        done = self.spillway("status", status=2)
        self.assertIn("--node with gw-a or gw-b", done.stderr)
        self.spillway("--node", "gw-b", "status")
        self.assertEqual((len(self.node.requests), len(other.requests)), (0, 1))

    def test_a_name_that_does_not_run(self):
        self.assertIn("gw-a", self.spillway("--node", "gw-x", "status", status=2).stderr)

    def test_no_node_at_all(self):
        self.node.close()
        error = json.loads(self.spillway("status", "--json", status=1).stdout)["error"]
        self.assertIn("no node runs", error["message"])


class Batch(CliTest):
    def test_lines_become_one_transaction(self):
        self.node.answers["batch"] = {"result": {"applied": 2}}
        text = ("# first\n\nroute add 10.0.0.0/8 tunnel a tenant b  # why\n"
                "  rate set tenant b none\n")
        method, params = self.asked("batch", "-", text=text)
        self.assertEqual((method, params), ("batch", {"ops": [
            {"line": 3, "method": "route.add",
             "params": {"prefix": "10.0.0.0/8", "tunnel": "a", "tenant": "b"}},
            {"line": 4, "method": "rate.set", "params": {"tenant": "b", "rate": "none"}}]}))

    def test_errors_name_file_and_line(self):
        (self.base / "changes").write_text("rate set tenant b none\nroute add 10.0.0.0/8 tunel a\n")
        self.assertIn("changes:2: ", self.spillway("batch", "changes", status=2).stderr)
        self.assertIn("stdin:1: ", self.spillway("batch", "-", status=2, text="status\n").stderr)
        self.assertEqual(self.node.requests, [])
        self.node.answers["batch"] = {"error": {
            "code": -32000, "message": "no such tunnel", "data": {"errno": "EBUSY", "line": 1}}}
        done = self.spillway("batch", "-", status=1, text="tunnel del a\n")
        self.assertIn("stdin:1: no such tunnel", done.stderr)
        self.assertIn("cannot read", self.spillway("batch", "absent", status=1).stderr)

    def test_ten_thousand_lines(self):
        lines = [f"route add 10.{i >> 8}.{i & 255}.0/24 tunnel a tenant b" for i in range(10000)]
        self.node.answers["batch"] = {"result": {"applied": 10000}}
        began = time.monotonic()
        done = self.spillway("batch", "-", text="\n".join(lines))
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(done.stdout, "10000 changes applied\n")
        self.assertEqual(len(self.node.requests[0]["params"]["ops"]), 10000)


CONTROL = """#!/usr/bin/env python3
import os, signal, socket, sys, time
base, log = os.environ["SPW_RUN_DIR"], open(os.environ["SPW_RUN_DIR"] + "/log", "a", buffering=1)
if "--remove" in sys.argv:
    log.write("removed\\n")
    sys.exit(0)
if os.path.exists(base + "/bad"):
    sys.exit("config.yaml:1:1: bad")
node = base + "/node-x"
os.makedirs(node, exist_ok=True)
if os.path.exists(node + "/control.sock"):
    os.unlink(node + "/control.sock")
listener = socket.socket(socket.AF_UNIX)
listener.bind(node + "/control.sock")
listener.listen()
signal.signal(signal.SIGTERM, lambda *_: (log.write("control stopped\\n"), os._exit(0)))
log.write(f"control {os.getpid()}\\n")
if "SPW_READY_FD" in os.environ:
    os.write(int(os.environ["SPW_READY_FD"]), b"1")
time.sleep(60)
"""

DATAPLANE = """#!/usr/bin/env python3
import os, signal, sys, time
base, log = os.environ["SPW_RUN_DIR"], open(os.environ["SPW_RUN_DIR"] + "/log", "a", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: (log.write("dataplane stopped\\n"), os._exit(0)))
log.write(f"dataplane {os.getpid()} {' '.join(sys.argv[1:])}\\n")
if os.path.exists(base + "/quick"):
    sys.exit(3)
time.sleep(60)
"""


class Run(CliTest):
    """`spillway run` over two played processes, found through the PATH."""

    def setUp(self):
        super().setUp()
        programs = self.base / "bin"
        programs.mkdir()
        for name, text in (("spillway-control", CONTROL), ("spillway-dataplane", DATAPLANE)):
            (programs / name).write_text(text)
            (programs / name).chmod(stat.S_IRWXU)
        # A copy stands alone, without the build's own siblings beside it.
        self.program = self.base / "bin/spillway"
        self.program.write_bytes(pathlib.Path(SPILLWAY).read_bytes())
        self.program.chmod(stat.S_IRWXU)

    def start(self):
        process = subprocess.Popen(
            [self.program, "run", "--json", "config.yaml"], cwd=self.base, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "SPW_RUN_DIR": str(self.base)})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def event(self, process, name):
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == name:
                return event
        self.fail(f"no event {name}")

    def log(self):
        return (self.base / "log").read_text().splitlines()

    def test_order_of_start_and_stop(self):
        process = self.start()
        self.event(process, "ready")
        self.event(process, "started")
        while not any(line.startswith("dataplane") for line in self.log()):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 0)
        self.assertEqual([line.split()[0] for line in self.log()],
                         ["control", "dataplane", "dataplane", "control", "removed"])
        self.assertIn("--node node-x", self.log()[1])

    def test_who_dies_is_started_again_alone(self):
        process = self.start()
        control = self.event(process, "ready")["pid"]
        dataplane = self.event(process, "started")["pid"]
        time.sleep(1.1)  # past a quick failure
        os.kill(control, signal.SIGKILL)
        self.assertEqual(self.event(process, "died")["process"], "control")
        again = self.event(process, "started")
        self.assertEqual(again["process"], "control")
        self.assertNotEqual(again["pid"], control)
        os.kill(dataplane, 0)  # still there
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)

    def test_bad_configuration_starts_nothing(self):
        (self.base / "bad").touch()
        process = self.start()
        said = process.stdout.read()
        self.assertEqual(process.wait(20), 1)
        self.assertIn("config.yaml:1:1: bad", said)
        self.assertFalse((self.base / "log").exists() and self.log())

    def test_gives_up_after_five_quick_failures(self):
        (self.base / "quick").touch()
        process = self.start()
        self.assertEqual(self.event(process, "gave up")["process"], "dataplane")
        self.assertEqual(process.wait(20), 1)
        starts = [line for line in self.log() if line.startswith("dataplane")]
        self.assertEqual(len(starts), 5)
        self.assertEqual(self.log()[-1], "removed")

    def test_children_end_with_their_parent(self):
        process = self.start()
        control = self.event(process, "ready")["pid"]
        process.kill()
        process.wait()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and "control stopped" not in self.log():
            time.sleep(0.05)
        self.assertIn("control stopped", self.log(), control)


if __name__ == "__main__":
    unittest.main()
