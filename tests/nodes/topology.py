# SPDX-License-Identifier: BSD-2-Clause
"""Networks of whole nodes in namespaces, for tools/demo and the node tests.

A Lab owns everything that it makes: namespaces, links, processes, nodes, one folder under /tmp. It
takes all of it away when its `with` block ends, however it ends, and it finds and removes what a
killed lab of the same kind has left. Two labs never collide: every name carries the process id.

    with Lab("spw-test") as lab:
        net = chain(lab, tenants=["blue"])
        net.start()
        assert net.app1["blue"].ping(net.address("app2", "blue")) == (3, 3)
        net.gwa.cli("rate", "set", "tunnel", "blue-relay", "50mbit")

Namespaces are entered with `nsenter --net`: `ip netns exec` would hide the host's bpffs.
"""

import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import types

NETNS = pathlib.Path("/run/netns")
BPFFS = pathlib.Path("/sys/fs/bpf")
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
# Reports of sanitizers, and the supervisor's of a process that was not killed by a test.
BROKEN = re.compile(r"Sanitizer|runtime error:|killed by signal (?!9 |15 )|exited with status "
                    r"(?!0;)|gave up|giving up")
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)


class LabError(Exception):
    """Something in the lab did not do what it must; the text says what."""


class CliError(Exception):
    """The command line refused; .status is its exit status, .error the JSON error."""

    def __init__(self, words, status, error):
        super().__init__(f"spillway {' '.join(words)}: exit {status}: {error.get('message')}")
        self.status, self.error = status, error


def wait_for(condition, timeout_s, what, interval_s=0.05):
    """Calls condition until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout_s} s")
        time.sleep(interval_s)


def run(*command, check=True, timeout=60, **options):
    """Runs a command to its end; a failure raises LabError with what it printed."""
    done = subprocess.run([str(word) for word in command], text=True, timeout=timeout,
                          stdin=options.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                       f"{done.stdout}{done.stderr}".rstrip())
    return done


def _child_of_lab(death_signal):
    """What a child does before it starts: a group of its own, and no life after ours."""
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, death_signal)


class Namespace:
    def __init__(self, lab, name):
        self.lab, self.name = lab, f"{lab.id}-{name}"
        self.path = NETNS / self.name
        run("ip", "netns", "add", self.name)
        # No waiting for duplicate address detection, no packets that nobody asked for.
        self.run("sh", "-c", "cd /proc/sys/net/ipv6/conf; for i in all default; do "
                 "echo 0 > $i/accept_dad; echo 0 > $i/router_solicitations; "
                 "echo 0 > $i/accept_ra; done; ip link set lo up")

    def run(self, *command, **options):
        return run("nsenter", f"--net={self.path}", "--", *command, **options)

    def popen(self, *command, death_signal=signal.SIGKILL, **options):
        """Starts a process that the lab ends."""
        process = subprocess.Popen(
            ["nsenter", f"--net={self.path}", "--", *map(str, command)],
            stdin=options.pop("stdin", subprocess.DEVNULL),
            preexec_fn=lambda: _child_of_lab(death_signal), **options)
        self.lab.processes.append(process)
        return process

    def socket(self, *arguments):
        """A socket that lives in this namespace, for packets made in Python."""
        with open("/proc/thread-self/ns/net") as own, open(self.path) as there:
            if _libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
            try:
                return socket.socket(*arguments)
            finally:
                _libc.setns(own.fileno(), CLONE_NEWNET)

    def vlan(self, ifname, vlan, addresses=()):
        self.run("ip", "link", "add", f"{ifname}.{vlan}", "link", ifname, "type", "vlan",
                 "id", vlan)
        self.interface_up(f"{ifname}.{vlan}", addresses)

    def interface_up(self, ifname, addresses=(), mtu=None):
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.run("ip", "address", "add", address, "dev", ifname, *nodad)
        self.run("ip", "link", "set", ifname, "up", *(["mtu", mtu] if mtu else []))

    def mac(self, ifname):
        return json.loads(self.run("ip", "-j", "link", "show", ifname).stdout)[0]["address"]

    def ping(self, address, count=3, size=56, interval_s=0.05, wait_s=2, options=()):
        """Returns (sent, answered)."""
        done = self.run("ping", "-n", "-c", count, "-s", size, "-i", interval_s, "-W", wait_s,
                        *options, address, check=False, timeout=count * interval_s + 30)
        for line in done.stdout.splitlines():
            words = line.split()
            if "packets transmitted" in line:
                return int(words[0]), int(words[3])
        raise LabError(f"ping {address} from {self.name}: {done.stdout}{done.stderr}")


class Wire:
    """A link that can be captured. AF_XDP packets are not seen by a capture on the interfaces at
    its ends, so a tapped wire runs through a bridge in a namespace of its own, as a switch's
    mirror port would show it."""

    def __init__(self, lab, tap):
        self.lab, self.namespace, self.tap = lab, None, tap

    def capture(self, name="wire"):
        return Capture(self, self.lab.folder / f"{name}.pcap")


class Capture:
    def __init__(self, wire, path):
        self.path = path
        self.log = open(path.with_suffix(".log"), "w+")
        self.process = wire.namespace.popen("dumpcap", "-q", "-P", "-B", 64, "-i", wire.tap,
                                            "-w", path, stdout=self.log, stderr=self.log)
        wait_for(lambda: path.exists() or self.process.poll() is not None, 10, "dumpcap")
        time.sleep(0.3)  # the file is made a little before the socket is bound

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.log.close()
        return self

    def frames(self):
        """The captured Ethernet frames, in order."""
        data = memoryview(self.path.read_bytes())
        magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHIIII", data, 0)
        if magic not in (0xa1b2c3d4, 0xa1b23c4d) or link_type != 1:
            raise LabError(f"{self.path}: not an Ethernet capture")
        at = 24
        while at + 16 <= len(data):
            captured = struct.unpack_from("<I", data, at + 8)[0]
            yield data[at + 16:at + 16 + captured]
            at += 16 + captured


class Node:
    """A node: config.yaml, `spillway run` in its namespace, its log."""

    def __init__(self, lab, namespace, config):
        self.lab, self.namespace = lab, namespace
        self.name = namespace.name
        self.config = {"node": self.name, **config}
        self.config_path = lab.folder / f"{self.name}.yaml"
        self.log_path = lab.folder / f"{self.name}.log"
        self.process = None

    def start(self, ready_s=20):
        """Returns when both processes run and the tables are handed over."""
        self.config_path.write_text(self.config if isinstance(self.config, str) else
                                    json.dumps(self.config, indent=2))  # JSON is YAML too
        with open(self.log_path, "a") as log:
            self.process = self.namespace.popen(
                self.lab.program("spillway"), "run", self.config_path,
                death_signal=signal.SIGTERM, env=self.lab.environment, stdout=log, stderr=log)
        self.wait_ready(ready_s)

    def wait_ready(self, ready_s=20):
        def connected():
            if self.process.poll() is not None:
                raise LabError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(CliError):
                return self.cli("status")["dataplane"]["connected"]
        wait_for(connected, ready_s, f"{self.name} is ready")

    def wait_up(self, up_s=10):
        """Returns when every tunnel is up."""
        wait_for(lambda: all(tunnel["state"] == "up" for tunnel in self.cli("tunnel", "list")),
                 up_s, f"{self.name}: all tunnels are up")

    def stop(self):
        """Ends the node as Ctrl-C would; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def cli(self, *words, input=None):
        """One command; returns its JSON result."""
        words = [str(word) for word in words]
        done = subprocess.run([self.lab.program("spillway"), "--node", self.name, "--json", *words],
                              text=True, env=self.lab.environment, input=input or "",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)
        try:
            answer = json.loads(done.stdout) if done.stdout.strip() else {}
        except ValueError:
            raise LabError(f"spillway {' '.join(words)} printed no JSON:\n{done.stdout}"
                           f"{done.stderr}") from None
        if done.returncode != 0:
            raise CliError(words, done.returncode, answer.get("error", {"message": done.stderr}))
        return answer

    def drops(self):
        """{reason: packets}, without the zeros."""
        return {drop["reason"]: drop["packets"] for drop in self.cli("drops") if drop["packets"]}

    def tunnel(self, name):
        return self.cli("tunnel", "show", name)

    def pid(self, process):
        """Of "control" or "dataplane"; None: there is no dataplane now."""
        status = self.cli("status")
        return status["pid"] if process == "control" else status["dataplane"].get("pid")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def pins(self):
        return BPFFS / "spillway" / self.name


class Lab:
    def __init__(self, kind, build=None):
        root = pathlib.Path(__file__).resolve().parents[2]
        self.kind = kind
        self.build = pathlib.Path(build or os.environ.get("SPW_BUILD_DIR", root / "build"))
        self.id = f"{kind}-{os.getpid()}"
        serial = next(_serial)
        if serial > 1:  # another lab of the same process
            self.id += f"_{serial}"
        self.namespaces, self.processes, self.nodes = [], [], []
        self.wires = 0

    # ---- life ----

    def __enter__(self):
        if os.geteuid() != 0:
            raise LabError("namespaces and BPF need root")
        for program in ("spillway", "spillway-control", "spillway-dataplane"):
            self.program(program)
        remove_leftovers(self.kind)
        self.folder = pathlib.Path(tempfile.gettempdir()) / self.id
        self.folder.mkdir(mode=0o700)
        self.lock = open(self.folder / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.environment = {**os.environ, "SPW_RUN_DIR": str(self.folder / "run"),
                            "SPW_STATE_DIR": str(self.folder / "state"),
                            "SPW_BPFFS_DIR": str(BPFFS / "spillway")}
        self.bpffs_mounted = not os.path.ismount(BPFFS)
        if self.bpffs_mounted:  # systemd does it elsewhere
            run("mount", "-t", "bpf", "bpf", BPFFS)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Takes everything away; returns what had to be removed by force and what must not stand in
        a node's log, as sentences."""
        forced = []
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            if node.process:
                try:
                    node.process.wait(30)
                except subprocess.TimeoutExpired:
                    forced.append(f"{node.name}: did not stop within 30 s")
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for namespace in self.namespaces:
            for pid in _namespace_pids(namespace.name):
                forced.append(f"process {pid} still ran in {namespace.name}")
        for node in self.nodes:
            if node.pins().exists():
                forced.append(f"{node.pins()} was still there")
            forced += [f"{node.name}: {line}" for line in node.log().splitlines()
                       if BROKEN.search(line)]
        _remove(self.id, [namespace.name for namespace in self.namespaces])
        if self.bpffs_mounted:
            run("umount", BPFFS, check=False)
        self.lock.close()
        self.namespaces, self.processes, self.nodes = [], [], []
        return forced

    def program(self, name):
        places = {"spillway": "control/cli", "spillway-control": "control/daemon",
                  "spillway-dataplane": "dataplane"}
        path = self.build / places[name] / name
        if not path.exists():
            raise LabError(f"{path} is not built: meson setup {self.build}; "
                           f"ninja -C {self.build}")
        return str(path)

    # ---- things ----

    def namespace(self, name):
        namespace = Namespace(self, name)
        self.namespaces.append(namespace)
        return namespace

    def _veth(self, a, a_name, b, b_name, mtu, queues):
        run("ip", "link", "add", "name", a_name, "netns", a.name, "mtu", mtu, "numrxqueues", queues,
            "numtxqueues", queues, "type", "veth", "peer", "name", b_name, "netns", b.name, "mtu",
            mtu, "numrxqueues", queues, "numtxqueues", queues)
        for namespace, ifname in ((a, a_name), (b, b_name)):
            # XDP sees packets before the kernel would fill in their checksums and VLAN tags.
            namespace.run("ethtool", "-K", ifname, "tx", "off", "rx", "off", "txvlan", "off")

    def link(self, a, a_name, b, b_name, a_addresses=(), b_addresses=(), mtu=1500, queues=1,
             tap=False, vlan=None):
        """A wire between two interfaces, which it makes; returns it. tap: it can be captured.
        vlan: the addresses live in that VLAN, on devices of their own."""
        wire = Wire(self, None)
        if tap:
            self.wires += 1
            middle = wire.namespace = self.namespace(f"wire{self.wires}")
            wire.tap = "wire0"
            self._veth(a, a_name, middle, "wire0", mtu, queues)
            self._veth(middle, "wire1", b, b_name, mtu, queues)
            middle.run("ip", "link", "add", "bridge", "type", "bridge", "stp_state", 0,
                       "mcast_snooping", 0)
            for port in ("wire0", "wire1"):
                middle.run("ip", "link", "set", port, "master", "bridge", "up")
            middle.run("ip", "link", "set", "bridge", "up")
        else:
            self._veth(a, a_name, b, b_name, mtu, queues)
        for namespace, ifname, addresses in ((a, a_name, a_addresses), (b, b_name, b_addresses)):
            namespace.interface_up(ifname, () if vlan else addresses)
            if vlan:
                namespace.vlan(ifname, vlan, addresses)
        return wire

    def secret(self, name, digits=64):
        """A file of random hex digits, the same for the same name."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(digits // 2) + "\n")
        return str(path)

    def key(self, name):
        """A node's key: the file and the public key, the same for the same name."""
        path = self.folder / f"{name}.key"
        words = ("public",) if path.exists() else ("generate",)
        return str(path), run(self.program("spillway"), "key", *words, path).stdout.strip()

    def node(self, namespace, config):
        node = Node(self, namespace, config)
        self.nodes.append(node)
        return node

    def report(self):
        """Logs and drops of all nodes, for a person who asks what went wrong."""
        lines = []
        for node in self.nodes:
            lines += [f"---- {node.name}: log", node.log().rstrip()]
            with contextlib.suppress(CliError, LabError, subprocess.TimeoutExpired):
                lines += [f"---- {node.name}: drops", json.dumps(node.drops(), indent=2)]
        return "\n".join(lines)


# ---- cleaning -----------------------------------------------------------------------------------


def _namespace_pids(name):
    return [int(pid) for pid in run("ip", "netns", "pids", name, check=False).stdout.split()]


def _remove(lab_id, namespaces):
    for name in namespaces:
        for pid in _namespace_pids(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run("ip", "netns", "del", name, check=False)
    for pins in (BPFFS / "spillway").glob(f"{lab_id}-*"):
        shutil.rmtree(pins, ignore_errors=True)
    shutil.rmtree(pathlib.Path(tempfile.gettempdir()) / lab_id, ignore_errors=True)


def remove_leftovers(kind):
    """Removes what killed labs of this kind have left; a living one holds its lock."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{kind}-[0-9]*"):
        try:
            with open(folder / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                names = [path.name for path in NETNS.glob(f"{folder.name}-*")]
                _remove(folder.name, names)
        except OSError:
            continue


# ---- the usual chain ----------------------------------------------------------------------------


def make_device(space, ifname, device):
    """Puts a net_tap device named `device` on the wire that ended at a kernel interface, which gives
    up its name for the TAP of the port."""
    space.run("sh", "-ec", f"""
        ip address flush dev {ifname}
        ip link set {ifname} down
        ip link set {ifname} name {ifname}-wire
        ip link set {ifname}-wire mtu 1500 up
        ip link add {ifname}-br type bridge stp_state 0 mcast_snooping 0
        ip tuntap add dev {device} mode tap multi_queue
        for port in {ifname}-wire {device}; do ip link set $port master {ifname}-br up; done
        ip link set {ifname}-br up""")


class Chain(types.SimpleNamespace):
    """app1 - gwa - relay - gwb - app2. app1 and app2 are {tenant: Namespace}; gwa, relay and gwb
    are Nodes; wires is [gwa-relay, relay-gwb]."""

    def start(self):
        for node in (self.gwa, self.relay, self.gwb):
            node.start()
        for node in (self.gwa, self.relay, self.gwb):
            node.wait_up()

    def address(self, side, tenant, family=4):
        """The inner address of "app1" or "app2"."""
        return self.hosts[side, tenant][0 if family == 4 else 1]


def _inner(side, number):
    """The lan of one side and tenant: (prefixes, addresses of the gateway, of the app)."""
    net4, net6 = f"10.{10 * number + side}.0", f"fd00:{10 * number + side}:"
    return ([f"{net4}.0/24", f"{net6}:/64"], [f"{net4}.1/24", f"{net6}:1/64"],
            [f"{net4}.2/24", f"{net6}:2/64"])


def _tunnel(name, tenant, allow, mtu, cipher, peer):
    return {"name": name, "tenant": tenant, "allow": allow, "cipher": cipher, **peer,
            **({"mtu": mtu} if mtu else {})}


def _static_peer(lab, remote, secret):
    return {"remote": remote, "static": {"secret_file": lab.secret(secret)}}


def _session_peer(lab, endpoint, node):
    return {"endpoint": endpoint, "peer": lab.key(node)[1]}


def chain(lab, tenants=("blue",), overlap=False, outer=4, mtu=1400, taps=False,
          cipher="aes-128-gcm", settings=None, vlan=None, queues=1, sessions=()):
    """The network that most tests want.

    overlap: all tenants use the same inner addresses, and apps have a namespace per tenant.
    outer: 4 or 6, the family between the nodes. mtu: of the tunnels and the apps; None: what the
    wires carry. settings: members that every node's config gets in addition. vlan: all wires carry
    that VLAN. queues: of every interface. sessions: the tenants, one at most, whose tunnels have
    sessions; those of the others are static.
    """
    outers = {4: (("192.0.2.1", "192.0.2.2", 30), ("198.51.100.1", "198.51.100.2", 30)),
              6: (("2001:db8:a::1", "2001:db8:a::2", 64), ("2001:db8:b::1", "2001:db8:b::2", 64))}
    spaces = {name: lab.namespace(name) for name in ("gwa", "relay", "gwb")}
    net = Chain(app1={}, app2={}, hosts={}, wires=[], outer=outers[outer])
    configs = {name: {**(settings or {}), "interfaces": [], "tenants": [], "tunnels": [],
                      **({"key_file": lab.key(name)[0]} if sessions else {})}
               for name in spaces}
    tagged = {"vlan": vlan} if vlan else {}
    device = f"{{}}.{vlan}" if vlan else "{}"

    for index, gateway in enumerate(("gwa", "gwb")):
        own, relays, bits = outers[outer][index]
        net.wires.append(lab.link(spaces[gateway], "wan0", spaces["relay"], f"wan{index}",
                                  [f"{own}/{bits}"], [f"{relays}/{bits}"], tap=taps, vlan=vlan,
                                  queues=queues))
        configs[gateway]["interfaces"].append({"name": "wan0", "role": "wan", **tagged})
        configs["relay"]["interfaces"].append({"name": f"wan{index}", "role": "wan", **tagged})

    for number, tenant in enumerate(tenants):
        lans = [_inner(side, 0 if overlap else number) for side in (1, 2)]
        for index, (gateway, app) in enumerate((("gwa", "app1"), ("gwb", "app2"))):
            prefixes, gateway_addresses, app_addresses = lans[index]
            far = lans[1 - index][0]
            apps = getattr(net, app)
            apps[tenant] = (lab.namespace(f"{app}-{tenant}" if overlap else app)
                            if overlap or not apps else next(iter(apps.values())))
            lab.link(apps[tenant], f"{tenant}0", spaces[gateway], f"lan-{tenant}", app_addresses,
                     gateway_addresses, vlan=vlan, queues=queues)
            if mtu:
                apps[tenant].run("ip", "link", "set", f"{tenant}0", "mtu", mtu)
            for prefix, via in zip(far, gateway_addresses):
                apps[tenant].run("ip", "route", "add", prefix, "via", via.split("/")[0],
                                 "dev", device.format(f"{tenant}0"))
            net.hosts[app, tenant] = [address.split("/")[0] for address in app_addresses]

            own, relays, _ = outers[outer][index]
            here, there = f"{tenant}-relay", f"{tenant}-{gateway[-1]}"
            if tenant in sessions:
                to_relay, to_gateway = (_session_peer(lab, relays, "relay"),
                                        _session_peer(lab, own, gateway))
            else:
                to_relay, to_gateway = (_static_peer(lab, remote, f"{tenant}-{gateway}")
                                        for remote in (relays, own))
            configs[gateway]["interfaces"].append(
                {"name": f"lan-{tenant}", "role": "lan", "tenant": tenant, "prefixes": prefixes,
                 **tagged})
            configs[gateway]["tunnels"].append(
                _tunnel(here, tenant, far, mtu, cipher, to_relay))
            configs["relay"]["tunnels"].append(
                _tunnel(there, tenant, prefixes, mtu, cipher, to_gateway))
            configs[gateway]["tenants"].append(
                {"name": tenant,
                 "routes": [{"prefix": prefix, "tunnel": here} for prefix in far]})
        configs["relay"]["tenants"].append(
            {"name": tenant, "routes": [{"prefix": prefix, "tunnel": f"{tenant}-{end}"}
                                        for end, lan in zip("ab", lans) for prefix in lan[0]]})
    for name, space in spaces.items():
        setattr(net, name, lab.node(space, configs[name]))
    return net
