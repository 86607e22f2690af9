# SPDX-License-Identifier: BSD-2-Clause
"""The demo: five namespaces app1 - gwa - relay - gwb - app2, two tenants, real traffic. Blue's
tunnels have sessions, green's a secret that both ends hold.

Everything that is measured becomes one check; the exit status is 0 only if all of them hold.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/nodes"))

import build  # noqa: E402
import topology  # noqa: E402
import traffic  # noqa: E402
from progress import Progress  # noqa: E402

TENANTS = ("blue", "green")
PROGRAMS = ("control/cli/spillway", "control/daemon/spillway-control",
            "dataplane/spillway-dataplane")
FILE_BYTES = 64 << 20
MTU_BYTES = 1400
RATE_MBIT = 50
KEYS_STAY_S = 5  # younger ones are not changed
MARKER = b"plain text that no wire may show"


class Interrupted(Exception):
    pass


class Checks:
    def __init__(self, progress):
        self.progress, self.rows = progress, []

    def add(self, name, ok, measured, expected):
        self.rows.append({"name": name, "ok": bool(ok), "measured": measured,
                          "expected": expected})

    def run(self, name, expected, function):
        """One step: function returns (ok, measured); what it raises fails the check."""
        with self.progress.step(name) as step:
            try:
                ok, measured = function()
            except (topology.LabError, topology.CliError, OSError, ValueError) as error:
                ok, measured = False, str(error).splitlines()[0]
                self.progress.line(f"\n{error}")
            step.note, step.bad = f"{measured}{'' if ok else f'; expected {expected}'}", not ok
            self.add(name, ok, measured, expected)
        return ok

    def ok(self):
        return bool(self.rows) and all(row["ok"] for row in self.rows)


class Demo:
    def __init__(self, lab, checks, seconds):
        self.lab, self.checks, self.seconds = lab, checks, seconds

    def run(self):
        check = self.checks.run
        with self.checks.progress.step("making namespaces, links and keys"):
            self.net = topology.chain(self.lab, TENANTS, mtu=MTU_BYTES, taps=True,
                                      sessions=("blue",))
        if not check("tunnels come up", "8 of 8 ends", self.start):
            return  # nothing else could hold
        captures = [wire.capture(f"wire{i}") for i, wire in enumerate(self.net.wires)]
        for tenant in TENANTS:
            for family in (4, 6):
                check(f"ping, {tenant}, IPv{family}", "10 of 10",
                      lambda t=tenant, f=family: self.ping(t, f, size=56))
        check(f"longest packet, {MTU_BYTES} bytes", "10 of 10",
              lambda: self.ping("blue", 4, size=MTU_BYTES - 28))
        check("64 MiB over HTTP, blue, IPv4", "equal SHA-256", lambda: self.http("blue", 4))
        check("64 MiB over HTTP, green, IPv6", "equal SHA-256", lambda: self.http("green", 6))
        check("wires between the nodes",
              "none other, none readable, no (dst, SPI, IV) repeated",
              lambda: self.wires(captures))
        check("TCP app1 to app2", "20 Mbit/s or more", lambda: self.tcp(reverse=False))
        check("TCP app2 to app1", "20 Mbit/s or more", lambda: self.tcp(reverse=True))
        check("UDP at 20 Mbit/s", "0 lost", lambda: self.udp(self.iperf_udp()))
        check("UDP while blue's keys change", "0 lost, other SPIs at both ends", self.rekey)
        self.checks.progress.line(self.tunnel_show())
        check("a tenant's packets stay its own", "0 of 5 answered, 5 dropped as route_missing",
              self.isolation)
        self.rate_udp()
        self.rate_tcp()

    # ---- up ----

    def start(self):
        began = time.monotonic()
        self.net.start()
        took = time.monotonic() - began
        states = [tunnel["state"] for node in (self.net.gwa, self.net.relay, self.net.gwb)
                  for tunnel in node.cli("tunnel", "list")]
        # Hosts on a lan are found by the first packet to them, which is lost.
        for tenant in TENANTS:
            for family in (4, 6):
                topology.wait_for(lambda: self.ping(tenant, family, 56, count=1, wait_s=0.2)[0],
                                  10, f"the first ping of {tenant}, IPv{family}")
        up = states.count("up")
        return (up == len(states) == 8,
                f"{up} of {len(states)} ends, {took:.1f} s after the first node's start")

    # ---- real work ----

    def ping(self, tenant, family, size, count=10, wait_s=2):
        sent, answered = self.net.app1[tenant].ping(
            self.net.address("app2", tenant, family), count, size, wait_s=wait_s,
            options=("-p", MARKER[:16].hex(), "-M", "do"))
        return sent == answered, f"{answered} of {sent}"

    def http(self, tenant, family):
        server, client = self.net.app2[tenant], self.net.app1[tenant]
        return traffic.http_transfer(self.lab.folder, server, client,
                                     self.net.address("app2", tenant, family), FILE_BYTES, MARKER)

    def wires(self, captures):
        audit = traffic.WireAudit(MARKER[:16])
        for capture in captures:
            audit.read(capture.stop())
        return audit.ok(), str(audit)

    def iperf(self, *options, seconds=None):
        return traffic.Iperf(self.net.app2["blue"], self.net.app1["blue"],
                             self.net.address("app2", "blue"), seconds or self.seconds, *options)

    def tcp(self, reverse):
        mbit = self.iperf(*(["-R"] if reverse else [])).finish()["sum_received"][
            "bits_per_second"] / 1e6
        return mbit >= 20, f"{mbit:.0f} Mbit/s"

    def iperf_udp(self):
        self.overflows = traffic.socket_overflows(self.net.app2["blue"])
        return self.iperf("-u", "-b", "20M", "-l", 1200, seconds=max(self.seconds, 4))

    def udp(self, load):
        total = load.finish()["sum"]
        # What reached app2 and overflowed iperf3's own socket was not lost on the way.
        lost = (total["lost_packets"] + self.overflows -
                traffic.socket_overflows(self.net.app2["blue"]))
        return lost == 0 and total["packets"] > 0, f"{lost} of {total['packets']} lost"

    # ---- keys that change ----

    def ends(self):
        """What the two ends of gwa's tunnel to the relay say of its session."""
        return [node.tunnel(name)["sa"] for node, name in ((self.net.gwa, "blue-relay"),
                                                           (self.net.relay, "blue-a"))]

    def rekey(self):
        def sent_with():
            return [[sa["spi"] for sa in end["out"]] for end in self.ends()]

        topology.wait_for(lambda: all(end["handshake_age_s"] >= KEYS_STAY_S for end in self.ends()),
                          2 * KEYS_STAY_S, "keys that are old enough to be changed")
        before = sent_with()
        load = self.iperf_udp()
        time.sleep(1)
        self.net.gwa.cli("tunnel", "rekey", "blue-relay")
        topology.wait_for(lambda: all(new != old for new, old in zip(sent_with(), before)), 2,
                          "both ends send with new keys")
        ok, measured = self.udp(load)
        return ok, f"{measured}, other SPIs at both ends"

    def tunnel_show(self):
        end = self.ends()[0]
        return (f"    gwa's tunnel show blue-relay: keying {end['keying']}, state {end['state']}, "
                f"rekeys {end['rekeys']}, handshake_age_s {end['handshake_age_s']}")

    def isolation(self):
        """Blue's gateway is told to send a green address to the relay as blue's; there blue has
        no such place."""
        app, green = self.net.app1["blue"], self.net.address("app2", "green")
        gateway = self.net.hosts["app1", "blue"][0].rsplit(".", 1)[0] + ".1"
        app.run("ip", "route", "add", f"{green}/32", "via", gateway, "dev", "blue0", "metric", 500)
        self.net.gwa.cli("route", "add", f"{green}/32", "tunnel", "blue-relay", "tenant", "blue")
        before = self.net.relay.drops().get("route_missing", 0)
        sent, answered = app.ping(green, 5, wait_s=1, options=("-I", "blue0"))
        dropped = self.net.relay.drops().get("route_missing", 0) - before
        self.net.gwa.cli("route", "del", f"{green}/32", "tenant", "blue")
        return ((sent, answered, dropped) == (5, 0, 5),
                f"{answered} of {sent} answered, {dropped} dropped as route_missing")

    # ---- a cap, set and removed while traffic runs ----

    def meter(self):
        return traffic.Meter(self.net.app2["blue"], "blue0")

    def cap(self, rate):
        self.net.gwa.cli("rate", "set", "tunnel", "blue-relay", rate, "direction", "out")

    def phases(self, load):
        """Goodput in Mbit/s before, under and after the cap, in inner IP bytes."""
        measured = []
        time.sleep(1)  # TCP's start
        for rate in (None, f"{RATE_MBIT}mbit", "none"):
            if rate:
                self.cap(rate)
                time.sleep(0.5)
            measured.append(self.meter().mbit_over(self.seconds))
        load.finish()
        return measured

    def rate_checks(self, kind, measured, low, high, free):
        before, under, after = measured
        self.checks.add(f"{kind} before the cap", before >= free, f"{before:.1f} Mbit/s",
                        f"{free} Mbit/s or more")
        self.checks.add(f"{kind} under a cap of {RATE_MBIT}", low <= under <= high,
                        f"{under:.1f} Mbit/s", f"{low} to {high} Mbit/s")
        self.checks.add(f"{kind} after the cap", after >= free, f"{after:.1f} Mbit/s",
                        f"{free} Mbit/s or more")
        return "{:.1f}, {:.1f}, {:.1f} Mbit/s".format(*measured)

    def rate(self, kind, options, low, high, free):
        with self.checks.progress.step(f"{kind}: free, capped, free again") as step:
            try:
                load = self.iperf(*options, seconds=3 * self.seconds + 4)
                step.note = self.rate_checks(kind, self.phases(load), low, high, free)
            except (topology.LabError, topology.CliError) as error:
                self.checks.add(kind, False, str(error).splitlines()[0], "a measurement")
                self.checks.progress.line(f"\n{error}")

    def rate_udp(self):
        self.rate("UDP of 100 Mbit/s", ("-u", "-b", "100M", "-l", 1200),
                  RATE_MBIT * 0.95, RATE_MBIT * 1.05, 90)

    def rate_tcp(self):
        # A policer makes TCP probe and back off below the cap: how far is TCP's affair.
        self.rate("TCP", (), RATE_MBIT * 0.6, RATE_MBIT * 1.05, RATE_MBIT * 1.2)


def summary(checks, out):
    width = max(len(row["name"]) for row in checks.rows)
    measured = max(len(row["measured"]) for row in checks.rows)
    print(f"\n     {'CHECK':{width}}  {'MEASURED':{measured}}  EXPECTED", file=out)
    for row in checks.rows:
        print(f"{'ok ' if row['ok'] else 'BAD'}  {row['name']:{width}}  "
              f"{row['measured']:{measured}}  {row['expected']}", file=out)
    good = sum(row["ok"] for row in checks.rows)
    print(f"\n{good} of {len(checks.rows)} checks hold", file=out)


def interrupt(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # cleaning up is not interrupted
    raise Interrupted(signal.Signals(number).name)


def carry(checks, seconds, progress):
    """The demo from build to cleaning; what goes wrong becomes a check that fails."""
    try:
        folder = build.configure(progress, "build-demo", ["--buildtype=debugoptimized"])
        build.build(progress, "build-demo", PROGRAMS)
        with topology.Lab("spw-demo", folder) as lab:
            try:
                Demo(lab, checks, seconds).run()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                if not checks.ok():
                    print(lab.report(), file=sys.stderr)
                with progress.step("taking everything away"):
                    forced = lab.close()
                checks.add("nothing is left behind", not forced,
                           "; ".join(forced) or "no namespace, pin or process",
                           "no namespace, pin or process")
    except Interrupted as signal_name:
        checks.add("ran to its end", False, f"interrupted by {signal_name}", "no interruption")
    except (topology.LabError, topology.CliError, build.BuildError) as error:
        print(error, file=sys.stderr)
        checks.add("ran to its end", False, str(error).splitlines()[0], "no error")


def main():
    parser = argparse.ArgumentParser(
        prog="tools/demo", description="Carries real traffic through three nodes on this machine "
        "(in namespaces of its own), measures it, and takes everything away again.")
    parser.add_argument("--seconds", type=int, default=5, metavar="N",
                        help="length of each load, 2 or more; default 5")
    parser.add_argument("--json", action="store_true",
                        help="print one object {ok, checks: [{name, ok, measured, expected}]}")
    arguments = parser.parse_args()
    if arguments.seconds < 2:
        parser.error("--seconds: expected 2 or more")
    if os.geteuid() != 0:
        parser.error("needs root for namespaces, AF_XDP and BPF: sudo tools/demo")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    progress = Progress(sys.stderr if arguments.json else sys.stdout)
    checks = Checks(progress)
    carry(checks, arguments.seconds, progress)
    if arguments.json:
        print(json.dumps({"ok": checks.ok(), "checks": checks.rows}, indent=2))
    else:
        summary(checks, sys.stdout)
    return 0 if checks.ok() else 1


if __name__ == "__main__":
    sys.exit(main())
