# SPDX-License-Identifier: BSD-2-Clause
"""Several nodes on one host, one node twice, and what is left when a node has stopped."""

import json
import os
import pathlib
import signal
import stat
import subprocess

import flows
import pytest
import topology


def links(node):
    """Interfaces of a node's namespace with an XDP program."""
    shown = json.loads(node.namespace.run("ip", "-j", "-d", "link").stdout)
    return {link["ifname"] for link in shown if "xdp" in link}


def managed(space):
    """(interface, address) of the neighbours that the kernel resolves by itself, for ever."""
    return {(each["dev"], each["dst"]) for family in ("-4", "-6")
            for each in json.loads(space.run("ip", family, "-j", "neigh").stdout)
            if "managed" in each}


def run_dir(node):
    return pathlib.Path(node.lab.environment["SPW_RUN_DIR"]) / node.name


def start_again(node, config_path=None):
    """Another `spillway run` of the same node, which ends by itself."""
    return subprocess.run(
        ["nsenter", f"--net={node.namespace.path}", "--", node.lab.program("spillway"), "run",
         str(config_path or node.config_path)], text=True, env=node.lab.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)


def two_nodes(lab):
    """Two nodes that are equal in everything but their names, on wires of their own."""
    nodes = []
    for name in ("one", "two"):
        space, far = lab.namespace(name), lab.namespace(f"far-{name}")
        lab.link(space, "wan0", far, "far0", ["192.0.2.1/24"], ["192.0.2.2/24"])
        lab.link(space, "lan0", far, "far1", ["10.1.0.1/24"], ["10.1.0.2/24"])
        nodes.append(lab.node(space, {
            "interfaces": [{"name": "wan0", "role": "wan"},
                           {"name": "lan0", "role": "lan", "tenant": "blue",
                            "prefixes": ["10.1.0.0/24"]}],
            "tenants": [{"name": "blue", "routes": [{"prefix": "10.2.0.0/24", "tunnel": "t"}]}],
            "tunnels": [{"name": "t", "tenant": "blue", "remote": "192.0.2.2",
                         "allow": ["10.2.0.0/24"],
                         "static": {"secret_file": lab.secret(name)}}]}))
    return nodes


def test_nodes_of_one_host_do_not_touch_each_other(lab):
    one, two = two_nodes(lab)
    one.start()
    two.start()
    assert one.pid("control") != two.pid("control")
    for node, far in ((one, lab.namespaces[1]), (two, lab.namespaces[3])):
        assert far.ping("192.0.2.1", 2) == (2, 2)
        assert node.cli("status")["node"] == node.name
    before = two.cli("route", "list"), two.cli("rate", "list"), two.drops()
    one.cli("route", "add", "10.3.0.0/16", "tunnel", "t", "tenant", "blue")
    one.cli("rate", "set", "tunnel", "t", "1mbit")
    lab.namespaces[1].run("ip", "route", "add", "10.2.0.0/24", "via", "10.1.0.1")
    lab.namespaces[1].ping("10.2.0.2", 3, wait_s=1)
    assert sum(one.drops().values()) == 3  # no peer is there: nothing is sent
    assert (two.cli("route", "list"), two.cli("rate", "list"), two.drops()) == before

    # Without a name the command line says which there are.
    asked = subprocess.run([lab.program("spillway"), "status"], text=True, env=lab.environment,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asked.returncode == 2 and one.name in asked.stderr and two.name in asked.stderr

    # The end of one is none of the other's business, whether it is stopped or killed.
    pids = two.pid("control"), two.pid("dataplane")
    os.kill(one.pid("dataplane"), signal.SIGKILL)
    one.wait_ready()
    assert one.stop() == 0
    assert (two.pid("control"), two.pid("dataplane")) == pids
    assert two.cli("status")["dataplane"]["connected"] and links(two) == {"wan0", "lan0"}


def test_same_node_twice_is_refused_and_the_first_goes_on(lab):
    node, other = two_nodes(lab)
    node.start()
    before = node.cli("route", "list")
    pids = node.pid("control"), node.pid("dataplane")
    for _ in range(2):
        done = start_again(node)
        assert done.returncode == 1
        assert f"another control of node \"{node.name}\" runs, with pid {pids[0]}" in done.stderr
    # Nor does another namespace help: names are the host's.
    other.config["node"] = node.name
    config = lab.folder / "imposter.yaml"
    config.write_text(json.dumps(other.config))
    assert start_again(other, config).returncode == 1
    remove = subprocess.run([lab.program("spillway-control"), "--config", node.config_path,
                             "--remove"], text=True, env=lab.environment, stderr=subprocess.PIPE)
    assert remove.returncode == 1 and str(pids[0]) in remove.stderr

    assert node.process.poll() is None
    assert (node.pid("control"), node.pid("dataplane")) == pids
    assert node.cli("route", "list") == before and links(node) == {"wan0", "lan0"}


def test_interface_of_another_node_is_refused(lab):
    """Two nodes in one namespace: each interface has one classifier."""
    node, other = two_nodes(lab)
    node.start()
    other.config["listen"] = 4501
    config = lab.folder / "second.yaml"
    config.write_text(json.dumps(other.config))
    done = subprocess.run(
        ["nsenter", f"--net={node.namespace.path}", "--", lab.program("spillway"), "run",
         str(config)], text=True, env=lab.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 1 and "wan0" in done.stderr and "XDP" in done.stderr
    assert not other.pins().exists() and not run_dir(other).exists()
    assert links(node) == {"wan0", "lan0"} and node.cli("status")["dataplane"]["connected"]


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
                         ids=lambda n: n.name)
def test_nothing_is_left_after_a_stop(lab, number):
    node, _ = two_nodes(lab)
    node.start()
    pids = [node.pid("control"), node.pid("dataplane")]
    assert links(node) == {"wan0", "lan0"} and node.pins().is_dir() and run_dir(node).is_dir()
    node.process.send_signal(number)
    assert node.process.wait(20) == 0
    assert links(node) == set()
    assert not node.pins().exists() and not run_dir(node).exists()
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)
    assert not [path for path in pathlib.Path("/dev/hugepages").glob(f"*{node.name}*")]
    assert not [path for path in pathlib.Path("/var/run/dpdk").glob(f"*{node.name}*")]


@pytest.mark.parametrize("vlan", (None, 7), ids=("untagged", "vlan"))
def test_no_managed_neighbor_of_ours_is_left_after_a_stop(lab, vlan):
    """In tables that tell those of others apart: by their mark, or by their interface."""
    space, far = lab.namespace("one"), lab.namespace("far")
    peers = [("192.0.2.1/24", "192.0.2.2/24"), ("2001:db8::1/64", "2001:db8::2/64")]
    try:
        lab.link(space, "wan0", far, "far0", [near for near, _ in peers],
                 [end for _, end in peers], vlan=vlan)
    except topology.LabError as error:
        if vlan and "Unknown device type" in str(error):
            pytest.skip("this kernel has no VLAN devices (8021q)")
        raise
    lab.link(space, "other0", far, "far1", ["10.1.0.1/24"], ["10.1.0.2/24"])
    interface = {"name": "wan0", "role": "wan"} | ({"vlan": vlan} if vlan else {})
    # One that answers and one that is not there, of each family.
    remotes = ["192.0.2.2", "192.0.2.77", "2001:db8::2", "2001:db8::77"]
    node = lab.node(space, {
        "interfaces": [interface], "tenants": [{"name": "blue"}],
        "tunnels": [{"name": f"t{i}", "tenant": "blue", "remote": remote,
                     "allow": [f"10.2.{i}.0/24"], "static": {"secret_file": lab.secret(f"t{i}")}}
                    for i, remote in enumerate(remotes)]})
    node.start()
    device = f"wan0.{vlan}" if vlan else "wan0"
    ours = {(device, remote) for remote in remotes}
    topology.wait_for(lambda: managed(space) == ours, 5, "the next hops are managed")
    proto = next(each["protocol"] for each in json.loads(space.run("ip", "-j", "neigh").stdout)
                 if each["dst"] == remotes[0])
    space.run("ip", "neigh", "add", "192.0.2.88", "dev", device, "managed")
    space.run("ip", "neigh", "add", "10.1.0.88", "dev", "other0", "managed", "protocol", proto)
    space.run("ip", "neigh", "add", "192.0.2.99", "dev", device, "lladdr", "02:00:00:00:00:99",
              "nud", "permanent", "protocol", proto)
    others = {(device, "192.0.2.88"), ("other0", "10.1.0.88")}
    assert managed(space) == ours | others
    assert node.stop() == 0
    assert managed(space) == others
    left = {each["dst"]: each for each in json.loads(space.run("ip", "-j", "neigh").stdout)}
    assert left["192.0.2.99"]["state"] == ["PERMANENT"]


def test_folders_and_sockets_are_closed_to_others(lab):
    node, _ = two_nodes(lab)
    node.start()
    state_dir = pathlib.Path(lab.environment["SPW_STATE_DIR"]) / node.name
    for path in (node.pins(), state_dir, run_dir(node)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
    for name in ("control.sock", "dataplane.sock"):
        assert stat.S_IMODE((run_dir(node) / name).stat().st_mode) & 0o007 == 0, name
    for pid in (node.pid("control"), node.pid("dataplane")):
        for word in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            assert pathlib.Path(lab.secret("one")).read_bytes().strip() not in word
    status = pathlib.Path(f"/proc/{node.pid('dataplane')}/status").read_text()
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert fields["CapEff"] == fields["CapPrm"] == "0" * 16
    assert fields["Seccomp"].strip() == "2" and fields["NoNewPrivs"].strip() == "1"


def test_start_after_a_stop_begins_anew(lab):
    """Commands are gone with the tables; boot epochs, and so keys, never come back."""
    net = topology.chain(lab)
    net.start()
    flows.learn_hosts(net)
    net.gwa.cli("route", "add", "10.99.0.0/16", "tunnel", "blue-relay", "tenant", "blue")
    spis = [sa["spi"] for sa in net.gwa.tunnel("blue-relay")["sa"]["in"]]
    routes = net.gwa.cli("route", "list")
    assert net.gwa.stop() == 0
    net.gwa.start()
    net.gwa.wait_up()
    flows.learn_hosts(net)
    assert "10.99.0.0/16" in str(routes) and "10.99.0.0/16" not in str(net.gwa.cli("route", "list"))
    assert not set(spis) & {sa["spi"] for sa in net.gwa.tunnel("blue-relay")["sa"]["in"]}
