# SPDX-License-Identifier: BSD-2-Clause
"""Ports that are DPDK devices: the same packets as over kernel interfaces, and a TAP in the kernel
for all that is not a tunnel's. Devices here are virtual ones; with a PCI device only what is under
it differs.

    app1 - gwa ---- veth - bridge - tap - net_tap [ relay ] net_tap - tap - bridge - veth ---- gwb - app2
"""

import collections
import contextlib
import json
import os
import pathlib
import signal
import socket
import threading

import flows
import pytest
import topology


def device_chain(lab, own_taps=True, **options):
    """The usual chain with devices at both wans of the relay. own_taps: a person has made the port's
    TAPs and given them their addresses; else control makes them."""
    net = topology.chain(lab, **options)
    space = net.relay.namespace
    for index, interface in enumerate(net.relay.config["interfaces"]):
        ifname, device = interface["name"], f"dev{index}"
        topology.make_device(space, ifname, device)
        interface["device"] = f"net_tap{index},iface={device}"
        if own_taps:
            space.run("ip", "tuntap", "add", "dev", ifname, "mode", "tap", "multi_queue")
            give_address(net, index)
    return net


def give_address(net, index):
    _, address, bits = net.outer[index]
    net.relay.namespace.interface_up(f"wan{index}", [f"{address}/{bits}"])


@pytest.fixture(scope="module", params=((1, 4), (2, 6)), ids=("1worker-out4", "2workers-out6"))
def net(request, open_lab):
    workers, outer = request.param
    with open_lab(request.node) as lab:
        net = device_chain(lab, outer=outer, settings={"workers": workers})
        net.workers, net.outer_family = workers, outer
        net.start()
        flows.learn_hosts(net)
        yield net


def relay_ways(family):
    return [("app1", "app2", ("wan0", "blue-a"), ("wan1", "blue-b")),
            ("app2", "app1", ("wan1", "blue-b"), ("wan0", "blue-a"))]


def tunnels_only(changes):
    """Without what the kernel sends and gets at any time, which a device's counters hold as well."""
    return {key: value for key, value in changes.items() if not key.startswith("wan")}


@pytest.mark.parametrize("family", (4, 6))
def test_packets_pass_as_over_kernel_interfaces(net, family):
    for sender, receiver, way_in, way_out in relay_ways(family):
        address = net.address(receiver, "blue", family)
        payloads = [os.urandom(size) for size in (0, 1, 2, 3, 33, 500, 1350, 1351, 1352)] * 4
        before = flows.counted(net.relay)
        arrived = flows.deliver(getattr(net, sender)["blue"], getattr(net, receiver)["blue"],
                                address, payloads)
        assert collections.Counter(payload for payload, _ in arrived) == \
            collections.Counter(payloads)
        assert {ttl for _, ttl in arrived} == {64 - 3}
        expected = flows.add_up(*(flows.carried(
            way_in, way_out, 1, flows.ip_bytes(address) + flows.UDP_BYTES + len(payload),
            net.outer_family) for payload in payloads))
        assert tunnels_only(flows.changes(net.relay, before)) == tunnels_only(expected)


def tcp_echo(client_space, server_space, address, data):
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server_space.socket(kind) as listener, client_space.socket(kind) as client:
        listener.bind((address, 0))
        listener.listen()
        for sock in (listener, client):
            sock.settimeout(20)

        def serve():
            server = listener.accept()[0]
            with server:
                server.settimeout(20)
                got = bytearray()
                while len(got) < len(data):
                    got += server.recv(1 << 16)
                server.sendall(got)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client.connect(listener.getsockname()[:2])
        client.sendall(data)
        back = bytearray()
        while len(back) < len(data):
            back += client.recv(1 << 16)
        thread.join()
        return bytes(back)


@pytest.mark.parametrize("family", (4, 6))
def test_tcp_crosses_the_relay_without_a_drop(net, family):
    data = os.urandom(1 << 19)
    drops = net.relay.drops()
    assert tcp_echo(net.app1["blue"], net.app2["blue"], net.address("app2", "blue", family),
                    data) == data
    assert net.relay.drops() == drops


def test_the_owners_tcp_reaches_the_kernel_behind_a_device(net):
    """To and from the relay's own address, while a tunnel's packets pass on the same device."""
    gateway, relay = net.gwa.namespace, net.relay.namespace
    own, relays, _ = net.outer[0]
    data = os.urandom(1 << 19)
    with flows.Stream(net.app1["blue"], net.app2["blue"], net.address("app2", "blue"),
                      pps=500) as stream:
        assert tcp_echo(gateway, relay, relays, data) == data
        assert tcp_echo(relay, gateway, own, data) == data
        assert gateway.ping(relays, 5) == (5, 5)
        assert gateway.ping(relays, 3, size=4000) == (3, 3)  # in fragments
        stream.wait(100)
        assert stream.stop() == flows.ALL_ARRIVED


def test_a_device_counts_every_frame_once(net):
    """What comes in on a device is steered, passed to the kernel or dropped."""
    net.gwa.namespace.ping(net.outer[0][1], 5)
    net.app1["blue"].ping(net.address("app2", "blue"), 5)

    def adds_up():
        status = net.relay.cli("status")["interfaces"]
        return all(port["rx_packets"] > 0 and port["passed"] > 0 and port["steered"] > 0 and
                   port["rx_packets"] == sum(port[key] for key in (
                       "steered", "passed", "control", "keepalives", "relayed", "dropped"))
                   for port in status)
    # Frames come at any time, and status is not read in one moment.
    topology.wait_for(adds_up, 5, f"the devices' counters add up: {net.relay.cli('status')}")


def test_status_shows_devices_and_their_kernel_counts_as_any(net):
    for interface in net.relay.cli("status")["interfaces"]:
        assert interface["xdp_mode"] == "device"
        assert interface["device"].startswith("net_tap")
    assert {neighbor["state"] for neighbor in net.relay.cli("status")["neighbors"]} == {"valid"}
    for interface in net.gwa.cli("status")["interfaces"]:
        assert interface["device"] is None


def test_workers_with_devices_sleep_when_nothing_comes(net):
    def sleeps():
        return [worker["sleeps"] for worker in net.relay.cli("status")["dataplane"]["workers"]]
    before = sleeps()
    assert net.gwa.namespace.ping(net.outer[0][1], 10, interval_s=0.1) == (10, 10)
    assert sum(sleeps()) - sum(before) >= 10


# ---- a life -------------------------------------------------------------------------------------


def taps(node, alias):
    links = json.loads(node.namespace.run("ip", "-j", "link").stdout)
    return {link["ifname"] for link in links if link.get("ifalias") == alias}


def test_control_makes_the_taps_and_takes_them_away(lab):
    net = device_chain(lab, own_taps=False)
    alias = f"spillway {net.relay.name}"
    net.gwa.start()
    net.gwb.start()
    net.relay.start()
    assert taps(net.relay, alias) == {"wan0", "wan1"}
    for index in range(2):
        give_address(net, index)
    for node in (net.gwa, net.relay, net.gwb):
        node.wait_up()
    flows.learn_hosts(net)

    # The TAPs, their addresses and the node outlive each of its processes.
    for process in ("dataplane", "control"):
        pid = net.relay.pid(process)
        os.kill(pid, signal.SIGKILL)

        def another():
            with contextlib.suppress(topology.CliError):
                return net.relay.pid(process) not in (None, pid)
        topology.wait_for(another, 20, f"another {process}")
        net.relay.wait_up(20)
        net.gwa.wait_up(20)
        flows.learn_hosts(net)
        payloads = [os.urandom(100) for _ in range(20)]
        assert [payload for payload, _ in flows.deliver(
            net.app1["blue"], net.app2["blue"], net.address("app2", "blue"), payloads)] == payloads
        assert taps(net.relay, alias) == {"wan0", "wan1"}

    assert net.relay.stop() == 0
    assert taps(net.relay, alias) == set()


def test_a_persons_tap_stays(lab):
    net = device_chain(lab)
    net.relay.start()
    assert net.relay.stop() == 0
    links = json.loads(net.relay.namespace.run("ip", "-j", "address").stdout)
    standing = {link["ifname"]: link for link in links}
    assert standing["wan0"]["addr_info"][0]["local"] == net.outer[0][1]


def test_two_nodes_over_memif(lab):
    """gwa and relay share memory instead of a wire. Such ports wake nobody: their workers poll."""
    net = topology.chain(lab)
    socket_path = lab.folder / "memif.sock"
    for node, role in ((net.gwa, "client"), (net.relay, "server")):
        node.namespace.run("ip", "link", "set", "wan0", "name", "unused")
        node.namespace.run("ip", "link", "set", "unused", "down")
        node.namespace.run("ip", "tuntap", "add", "dev", "wan0", "mode", "tap", "multi_queue")
        own, relays, bits = net.outer[0]
        node.namespace.interface_up("wan0", [f"{own if role == 'client' else relays}/{bits}"])
        node.config["interfaces"][0]["device"] = (
            f"net_memif0,role={role},socket={socket_path},socket-abstract=no")
    for node in (net.relay, net.gwa, net.gwb):  # the server first
        node.start()
    for node in (net.relay, net.gwa, net.gwb):
        node.wait_up()
    flows.learn_hosts(net)
    before = net.relay.drops()
    for family in (4, 6):
        payloads = [os.urandom(size) for size in (0, 100, 1352)] * 10
        arrived = flows.deliver(net.app1["blue"], net.app2["blue"],
                                net.address("app2", "blue", family), payloads)
        assert [payload for payload, _ in arrived] == payloads
    assert net.gwa.namespace.ping(net.outer[0][1], 3) == (3, 3)
    assert net.relay.drops() == before
    # A server leaves its socket behind; the node starts again all the same.
    assert net.gwa.stop() == 0
    assert net.relay.stop() == 0
    for node in (net.relay, net.gwa):
        node.start()
    for node in (net.relay, net.gwa):
        node.wait_up(20)
    flows.learn_hosts(net)


# ---- bad input ----------------------------------------------------------------------------------


def refused(lab, space, interfaces):
    """A node that does not start; returns what it said."""
    node = lab.node(space, {"interfaces": interfaces})
    with pytest.raises(topology.LabError):
        node.start(ready_s=6)
    node.stop()  # where it tries on
    assert not node.pins().exists()
    log = node.log()
    node.log_path.unlink()  # what it holds would be a fault of any other node
    return log


def pci_devices():
    return [path for path in pathlib.Path("/sys/bus/pci/devices").glob("*")
            if (path / "driver").exists() and (path / "driver").resolve().name != "vfio-pci"]


def test_a_pci_device_that_is_the_kernels_is_refused_before_anything_is_touched(lab):
    if not pci_devices():
        pytest.skip("this machine has no PCI device with a kernel driver")
    device = pci_devices()[0]
    space, other = lab.namespace("node"), lab.namespace("other")
    lab.link(other, "eth0", space, "lan0")
    log = refused(lab, space, [
        {"name": "lan0", "role": "wan"},
        {"name": "wan0", "role": "wan", "device": device.name}])
    driver = (device / "driver").resolve().name
    assert f'device "{device.name}": it is bound to the kernel driver {driver}' in log
    assert f"dpdk-devbind.py --bind=vfio-pci {device.name}" in log
    assert (device / "driver").resolve().name == driver
    link = json.loads(space.run("ip", "-j", "-d", "link", "show", "lan0").stdout)[0]
    assert "xdp" not in link
    assert space.run("ip", "link", "show", "wan0", check=False).returncode != 0


def test_an_interface_that_is_no_tap_cannot_stand_for_a_device(lab):
    space, other = lab.namespace("node"), lab.namespace("other")
    lab.link(other, "eth0", space, "wan0")
    log = refused(lab, space, [{"name": "wan0", "role": "wan", "device": "net_null0"}])
    assert 'interface "wan0" is there already and is no TAP' in log
    assert "ip tuntap add dev wan0 mode tap multi_queue" in log


def test_a_device_that_dpdk_does_not_open_says_so_and_leaves_no_tap(lab):
    space = lab.namespace("node")
    log = refused(lab, space, [
        {"name": "wan0", "role": "wan", "device": "net_memif0,role=nobody"}])
    assert "wan0: DPDK does not open the device net_memif0,role=nobody" in log
    assert space.run("ip", "link", "show", "wan0", check=False).returncode != 0
