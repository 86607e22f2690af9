# SPDX-License-Identifier: BSD-2-Clause
"""Packets lost while thousands of routes and rates change each second.

Over ring ports at 90 % of the highest rate without loss: the worker and its generator on one CPU,
control on another. Over AF_XDP at 30 % of what the node encrypts at most: there the generator is
in the kernel, on control's CPU, and so is the scheduler's part in what is lost.
"""

import json
import pathlib
import socket
import threading
import time

import gateway
import rings
import rows
import topology

ROUTES_PER_S, RATES_PER_S = 10_000, 1_000
# Transactions each second: of that many changes one takes a few ms, and a hundred small ones would
# measure the wait for grace periods.
BATCHES_PER_S = 20
RINGS_PERCENT, AFXDP_PERCENT = 90, 30
SIZE = 64
CALM = {"route_changes_per_s": 0, "rate_changes_per_s": 0}


class Control:
    """A connection to the node's control socket: a command line for each batch would be most of the
    work."""

    def __init__(self, node):
        path = pathlib.Path(node.lab.environment["SPW_RUN_DIR"]) / node.name / "control.sock"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rw")

    def batch(self, operations):
        request = {"jsonrpc": "2.0", "id": 1, "method": "batch", "params": {"ops": operations}}
        self.stream.write(json.dumps(request) + "\n")
        self.stream.flush()
        answer = json.loads(self.stream.readline())
        if "error" in answer:
            raise rows.Broken(f"storm: control refused a change: {answer['error']}")
        return answer["result"]["applied"]

    def close(self):
        self.stream.close()
        self.socket.close()


def _operation(line, method, **params):
    return {"line": line, "method": method, "params": params}


def _prefix(number):
    return f"172.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}/32"


class Storm(threading.Thread):
    """Changes routes and rates at the wanted pace until it is stopped."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.control, self.tunnels = Control(site.node), site.tunnels
        self.ended, self.failure = threading.Event(), None
        self.routes = self.rates = self.batches = 0

    def _batch(self, number):
        """Every second batch takes away what the one before it has added."""
        routes, rates = ROUTES_PER_S // BATCHES_PER_S, RATES_PER_S // BATCHES_PER_S
        first = number // 2 * routes
        prefixes = [_prefix((first + n) % (1 << 20)) for n in range(routes)]
        if number % 2:
            changes = [_operation(line, "route.del", tenant="blue", prefix=prefix)
                       for line, prefix in enumerate(prefixes, 1)]
        else:
            changes = [_operation(line, "route.add", tenant="blue", prefix=prefix,
                                  tunnel=f"peer{line % self.tunnels}")
                       for line, prefix in enumerate(prefixes, 1)]
        changes += [_operation(routes + n + 1, "rate.set",
                               tunnel=f"peer{(number * rates + n) % self.tunnels}",
                               rate=f"{100 + (number + n) % 100}gbit", direction="both")
                    for n in range(rates)]
        return changes, routes, rates

    def run(self):
        began = time.monotonic()
        try:
            while not self.ended.is_set():
                changes, routes, rates = self._batch(self.batches)
                self.control.batch(changes)
                self.routes += routes
                self.rates += rates
                self.batches += 1
                self.ended.wait(max(0, began + self.batches / BATCHES_PER_S - time.monotonic()))
            self.seconds = time.monotonic() - began
        except (rows.Broken, OSError, ValueError) as error:
            self.failure = error

    def finish(self):
        """{route_changes_per_s, rate_changes_per_s}"""
        self.ended.set()
        self.join()
        self.control.close()
        if self.failure:
            raise rows.Broken(str(self.failure))
        return {"route_changes_per_s": round(self.routes / self.seconds),
                "rate_changes_per_s": round(self.rates / self.seconds)}


def under_storm(site, measurement):
    """What measurement() returns, with the storm's figures beside it."""
    storm = Storm(site)
    storm.start()
    try:
        seen = measurement()
    finally:
        changes = storm.finish()
    return {**changes, **seen}


def measure_rings(lab, context, rounds):
    site = rings.Rings(lab)
    site.frames(SIZE)
    ndr = site.ndr(context.note, context.quick)
    rate = ndr * RINGS_PERCENT / 100
    fixed = {"bench": "storm", "mode": "rings", "size": SIZE, "workers": 1,
             "provider": site.provider(), "tunnels": site.tunnels, "load_percent": RINGS_PERCENT,
             "ndr_mpps": ndr / 1e6, "mpps": rate / 1e6}
    for storm in (False, True):
        context.note(f"rings, {rounds} rounds {'in the storm' if storm else 'quiet'}")
        yield {**fixed, **(under_storm(site, lambda: site.measure(rate, rounds)) if storm else
                           {**CALM, **site.measure(rate, rounds)})}
    site.node.stop()


def flood(site, pps, seconds):
    """{lost, and where} of a paced flood through a node on AF_XDP."""
    before = site.node.drops()
    seen = site.flood(SIZE, seconds, pps).result()
    time.sleep(0.1)  # the worker reads its sockets' losses every 10 ms
    drops = {reason: count - before.get(reason, 0) for reason, count in site.node.drops().items()}
    lost = seen["sent"] - seen["received"]
    ring_full = drops.pop("ring_full", 0)
    return {"mpps": seen["sent_pps"] / 1e6, "lost": max(lost, 0), "ring_full": ring_full,
            "worker_drops": sum(drops.values()),
            "kernel_lost": max(lost - ring_full - sum(drops.values()), 0)}


def measure_afxdp(lab, context, seconds):
    site = gateway.Gateway(lab, rings.TUNNELS)
    site.start()
    site.keep_apart()
    context.note("AF_XDP: what it does at most")
    most = site.flood(SIZE, 1).result()["received_pps"]
    fixed = {"bench": "storm", "mode": "afxdp", "size": SIZE, "workers": 1,
             "provider": site.provider(), "tunnels": site.tunnels, "load_percent": AFXDP_PERCENT,
             "quiet_mpps": most / 1e6}
    rate = round(most * AFXDP_PERCENT / 100)
    for storm in (False, True):
        context.note(f"AF_XDP, {seconds} s {'in the storm' if storm else 'quiet'}")
        seen = (under_storm(site, lambda: flood(site, rate, seconds)) if storm else
                {**CALM, **flood(site, rate, seconds)})
        yield {**fixed, **seen}


def measure(context):
    rounds, seconds = (4, 1) if context.quick else (20, 10)
    with topology.Lab("spw-bench", build=context.build) as lab:
        yield from measure_rings(lab, context, rounds)
    with topology.Lab("spw-bench", build=context.build) as lab:
        yield from measure_afxdp(lab, context, seconds)
