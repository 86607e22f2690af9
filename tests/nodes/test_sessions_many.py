# SPDX-License-Identifier: BSD-2-Clause
"""Sessions in numbers: many peers at once, many that are not there, and strangers who flood."""

import json
import pathlib
import socket
import threading
import time

import topology

NODE, FAR = "192.0.2.1", "192.0.2.2"
FLOOD_PPS = 20_000  # forty times what a node reads without asking


def words(lab, *arguments):
    return topology.run(lab.build / "perf/spw-perf-handshakes", *arguments).stdout.split()


def start(lab, cnt, endpoint=None):
    """A node with so many peers, and the namespace where they live. Sources that do not exist are
    behind it."""
    space, far = lab.namespace("node"), lab.namespace("far")
    lab.link(space, "wan0", far, "far0", [f"{NODE}/24"], [f"{FAR}/24"])
    space.run("ip", "route", "add", "default", "via", FAR)
    space.run("sh", "-c", "for i in all wan0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
    tunnels = [{"name": f"t{i}", "tenant": "blue", "cipher": "aes-256-gcm", "peer": key,
                "allow": [f"10.{i >> 8}.{i & 255}.0/24"],
                **({"endpoint": f"{FAR}:{endpoint + i}"} if endpoint else {})}
               for i, key in enumerate(words(lab, "keys", 0, cnt))]
    node = lab.node(space, {"key_file": lab.key("node")[0], "limits": {"tunnels": cnt + 16},
                            "interfaces": [{"name": "wan0", "role": "wan"}],
                            "tenants": [{"name": "blue"}], "tunnels": tunnels})
    node.start(60)
    return node, far


def shake(lab, far, first, cnt, seconds=10):
    """Peers shake hands with the node; what the generator says of it."""
    done = far.run(lab.build / "perf/spw-perf-handshakes", "peers", NODE, 4500, lab.key("node")[1],
                   first, cnt, seconds)
    return json.loads(done.stdout)


def flood(lab, far, seconds):
    return far.popen(lab.build / "perf/spw-perf-handshakes", "flood", NODE, 4500,
                     lab.key("node")[1], FLOOD_PPS, seconds)


class Questions(threading.Thread):
    """Asks control for its status, again and again over one connection; .longest_s is the longest
    that an answer took."""

    def __init__(self, node):
        super().__init__(daemon=True)
        path = pathlib.Path(node.lab.environment["SPW_RUN_DIR"]) / node.name / "control.sock"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.asking, self.longest_s = True, 0.0

    def __enter__(self):
        self.start()
        return self

    def run(self):
        with self.socket, self.socket.makefile("rw") as stream:
            while self.asking:
                began = time.monotonic()
                stream.write('{"jsonrpc": "2.0", "id": 1, "method": "status"}\n')
                stream.flush()
                stream.readline()
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                time.sleep(0.01)

    def __exit__(self, *_):
        self.asking = False
        self.join()


def test_hundreds_of_peers_at_once(lab):
    node, far = start(lab, 300)
    assert shake(lab, far, 0, 300)["up"] == 300
    node.wait_up()
    # All peers have started anew, behind another port. The node answers each with one dummy.
    assert shake(lab, far, 0, 300, seconds=5)["answered"] == 300
    node.wait_up()


def test_peers_that_are_absent(lab):
    """Thousands of INITs are due at once; control answers meanwhile."""
    node, _ = start(lab, 3000, endpoint=20000)
    with Questions(node) as questions:
        time.sleep(3)
    tunnels = node.cli("tunnel", "list")
    assert {tunnel["state"] for tunnel in tunnels} == {"shaking hands with the peer"}
    assert questions.longest_s < 1


def test_newcomers_in_a_flood(lab):
    """Strangers who cannot be told from peers: these come through, and control goes on."""
    node, far = start(lab, 4)
    assert shake(lab, far, 0, 1)["cookies"] == 0
    flooding = flood(lab, far, 30)
    topology.wait_for(lambda: node.cli("status")["handshakes"]["cookies_sent"] > 0, 10, "a cookie")
    with Questions(node) as questions:
        for peer in range(1, 4):
            told = shake(lab, far, peer, 1)
            assert told["up"] == 1 and told["cookies"] == 1
            time.sleep(2)  # the source is forgotten
    assert flooding.poll() is None
    flooding.kill()
    assert questions.longest_s < 1
    assert node.tunnel("t0")["state"] == "up"
