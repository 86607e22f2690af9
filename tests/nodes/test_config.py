# SPDX-License-Identifier: BSD-2-Clause
"""config.yaml given to `spillway run`: a bad one starts nothing and says where and why; a node that
runs is not touched by it."""

import os
import pathlib
import signal
import subprocess

import pytest
import topology

GOOD = """\
node: {node}
interfaces:
  - {{name: wan0, role: wan}}
  - {{name: lan0, role: lan, tenant: blue, prefixes: [10.1.0.0/24]}}
tenants:
  - name: blue
    routes:
      - {{prefix: 10.2.0.0/24, tunnel: to-b}}
  - name: green
tunnels:
  - name: to-b
    tenant: blue
    remote: 192.0.2.2
    allow: [10.2.0.0/24]
    static: {{secret_file: b.secret}}
  - name: to-c
    tenant: blue
    remote: 192.0.2.3
    allow: [10.3.0.0/24]
    foreign:
      in:  {{spi: 0x00010001, key_file: in.key}}
      out: {{spi: 0x00010002, key_file: out.key}}
"""

# What is changed, where it is refused, and what the sentence says.
BAD = {
    "unknown key": ("    remote: 192.0.2.2\n", "    remot: 192.0.2.2\n", 13, 5,
                    ["unknown key \"remot\"", "did you mean \"remote\"", "expected name"]),
    "key twice": ("    tenant: blue\n    remote: 192.0.2.3\n",
                  "    tenant: blue\n    tenant: blue\n    remote: 192.0.2.3\n", 18, 5,
                  ["\"tenant\" stands here twice"]),
    "name twice": ("name: to-c", "name: to-b", 16, 11,
                   ["tunnel \"to-b\" stands in line 11 already"]),
    "overlapping lans": ("[10.1.0.0/24]", "[10.1.0.0/24, 10.1.0.64/26]", 4, 67,
                         ["10.1.0.64/26 overlaps with 10.1.0.0/24"]),
    "route twice": ("tunnel: to-b}}\n", "tunnel: to-b}}\n      - "
                    "{{prefix: 10.2.0.0/24, tunnel: to-c}}\n", 9, 18,
                    ["10.2.0.0/24 stands there already", "line 8"]),
    "bits behind the prefix": ("10.3.0.0/24", "10.3.0.1/24", 19, 13, ["10.3.0.1/24"]),
    "bad address": ("192.0.2.2\n", "192.0.2.256\n", 13, 13, ["192.0.2.256", "an address"]),
    "missing key file": ("b.secret", "gone.secret", 15, 27,
                         ["gone.secret", "No such file or directory"]),
    "tunnel of nobody": ("tunnel: to-b}}", "tunnel: to-bb}}", 8, 39,
                         ["no such tunnel", "did you mean \"to-b\""]),
    "tunnel of another tenant": ("    tenant: blue\n    remote: 192.0.2.2",
                                 "    tenant: green\n    remote: 192.0.2.2", 8, 39,
                                 ["belongs to the tenant \"green\""]),
    "no YAML": ("tenants:\n", "tenants: [\n", None, None, ["not YAML"]),
    "empty": (GOOD, "", None, None, ["node"]),
    # What only the keys and the system can tell.
    "key file that others read": ("b.secret", "open.secret", 11, 5, ["0644", "chmod 0600"]),
    "short key": ("in.key", "short.key", 16, 5, ["short.key", "40 or 72 hex digits"]),
    "one key for both directions": ("out.key", "in.key", 16, 5, ["key"]),
    "relay to the node itself": ("node: {node}\n", "node: {node}\nrelays:\n  - {{name: ab, port: 5, "
                                 "between: [192.0.2.1:5, any]}}\n", 3, 5,
                                 ["relay \"ab\"", "an address of this host"]),
    "no such interface": ("lan0", "lan9", None, None, ["lan9", "ip link"]),
}


class Place:
    """A namespace with interfaces, and a folder with key files."""

    def __init__(self, lab):
        self.lab = lab
        self.space, far = lab.namespace("node"), lab.namespace("far")
        self.name = self.space.name
        lab.link(self.space, "wan0", far, "far0", ["192.0.2.1/24"], ["192.0.2.2/24"])
        lab.link(self.space, "lan0", far, "far1", ["10.1.0.1/24"])
        self.folder = lab.folder
        for file, digits, mode in (("b.secret", 64, 0o600), ("in.key", 40, 0o600),
                                   ("out.key", 72, 0o600), ("open.secret", 64, 0o644),
                                   ("short.key", 38, 0o600)):
            path = self.folder / file
            path.write_text(os.urandom(digits // 2).hex())
            path.chmod(mode)

    def write(self, text, file="config.yaml"):
        path = self.folder / file
        path.write_text(text.format(node=self.name))
        return path

    def run(self, path):
        """`spillway run`, which is expected to end by itself."""
        return subprocess.run(
            ["nsenter", f"--net={self.space.path}", "--", self.lab.program("spillway"), "run",
             str(path)], text=True, env=self.lab.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)

    def left(self):
        """What a node leaves while it lives, and must not leave when it was refused."""
        left = [str(topology.BPFFS / "spillway" / self.name)]
        left.append(f"{self.lab.environment['SPW_RUN_DIR']}/{self.name}")
        links = self.space.run("ip", "-d", "link").stdout
        return [path for path in left if os.path.exists(path)] + (["xdp"] if "xdp" in links else [])


@pytest.fixture(scope="module")
def place(request, open_lab):
    with open_lab(request.node) as lab:
        yield Place(lab)


@pytest.mark.parametrize("case", BAD)
def test_bad_file_starts_nothing_and_says_where(place, case):
    was, becomes, line, column, says = BAD[case]
    assert was in GOOD
    path = place.write(GOOD.replace(was, becomes, 1))
    done = place.run(path)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    if line:
        assert f"{path}:{line}:{column}: " in said
    for words in says:
        assert words in said
    assert "dataplane" not in done.stdout and not place.left()


def test_a_file_that_is_not_there(place):
    done = place.run(place.folder / "nowhere.yaml")
    assert done.returncode == 1 and "nowhere.yaml" in done.stderr
    assert "No such file" in done.stderr and not place.left()


def test_check_reads_only(place):
    """`spillway-control --check` is what an editor or a script asks."""
    good, bad = place.write(GOOD, "good.yaml"), place.write(GOOD + "x: 1\n", "bad.yaml")
    for path, status, says in ((good, 0, "OK"), (bad, 1, f"{bad}:23:1: unknown key \"x\"")):
        done = subprocess.run([place.lab.program("spillway-control"), "--config", path, "--check"],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=place.lab.environment)
        assert done.returncode == status and says in done.stdout + done.stderr
    assert not place.left()


def test_running_node_stays_whatever_the_file_becomes(place):
    node = place.lab.node(place.space, {})
    node.config = GOOD.format(node=node.name)
    node.start()
    before = snapshot(node)

    for text in (GOOD, GOOD.replace("remote", "remot"), "node: {node}\n]"):
        path = place.write(text, "second.yaml")
        assert place.run(path).returncode == 1
        assert snapshot(node) == before
    for path in (place.folder / "nowhere.yaml", place.write("]", "broken.yaml")):
        said = place.run(path).stderr
        assert f"tables of {node.name} stand" in said and "`node: NAME` is enough" in said
    # Control reads nothing but the node's name out of it when it starts again.
    pid = node.pid("control")
    place.write(GOOD.replace("remote", "remot"), node.config_path.name)
    os.kill(pid, signal.SIGKILL)
    node.wait_ready()
    assert node.pid("control") != pid and snapshot(node) == before
    assert node.stop() == 0
    assert not place.left()


def snapshot(node):
    """The running state, without what traffic and time change."""
    return [node.cli(*words) for words in (("route", "list"), ("rate", "list"))] + \
        [[(tunnel["name"], tunnel["remote"]) for tunnel in node.cli("tunnel", "list")],
         node.pid("dataplane"), pathlib.Path(f"/proc/{node.process.pid}").exists()]
