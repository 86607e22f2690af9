# SPDX-License-Identifier: BSD-2-Clause
"""What an idle node costs, and what its first packet costs: a real node over AF_XDP."""

import json
import subprocess
import time

import gateway
import topology

BUSY_PROBES = 5000
SIZE = 64
CPUCLOCK_SCHED = 2  # of the process with that id: linux/posix-timers.h


def cpu_seconds(pid):
    """CPU time that a process has used, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def measure_cpu(site, seconds):
    pid = site.node.pid("dataplane")
    time.sleep(0.5)  # the last packets' housekeeping
    used, began = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    used, passed = cpu_seconds(pid) - used, time.monotonic() - began
    return {"bench": "idle", "mode": "cpu", "workers": 1, "seconds": round(passed, 1),
            "cpu_percent": 100 * used / passed}


class PlainForwarder:
    """While its `with` block lasts, a program on the worker's CPU sleeps in poll() between app1 and
    peer1 as the node does between app0 and peer0: what waking takes on this machine at least."""

    def __init__(self, site):
        self.space = site.lab.namespace("plain")
        site.lab.link(site.ends, "app1", self.space, "in0")
        site.lab.link(site.ends, "peer1", self.space, "out0")
        self.process = self.space.popen(site.lab.build / "perf/spw-perf-wake", "forward",
                                        site.worker_cpu(), "in0", "out0", stdin=subprocess.PIPE)
        self.frame = gateway.udp_frame("02:00:00:00:00:01", "02:00:00:00:00:02", gateway.APP,
                                       gateway.PEER, SIZE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


def measure_wake(site, probes, silence_ms):
    with PlainForwarder(site) as plain:
        command = [site.lab.build / "perf/spw-perf-wake", "probe", site.other_cpu(), BUSY_PROBES,
                   probes, silence_ms, "node", "app0", "peer0", "plain", "app1", "peer1"]
        process = site.ends.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        out, said = process.communicate(f"{site.frame(SIZE).hex()}\n{plain.frame.hex()}\n",
                                        timeout=60 + probes * 6)
    if process.returncode != 0:
        raise topology.LabError(said.strip())
    seen = json.loads(out)
    row = {"bench": "idle", "mode": "wake", "size": SIZE, "workers": 1, "silence_ms": silence_ms,
           "packets": seen["node"]["quiet"]["packets"], "lost": seen["node"]["lost"]}
    for prefix, path in (("", seen["node"]), ("floor_", seen["plain"])):
        busy, first = path["busy"], path["quiet"]
        row |= {**{f"{prefix}busy_{key}": busy[key] for key in ("p50_us", "p90_us")},
                **{f"{prefix}first_{key}": first[key] for key in ("p50_us", "p90_us", "max_us")},
                f"{prefix}later_p90_us": first["p90_us"] - busy["p90_us"]}
    return row


def measure(context):
    seconds, probes, silence_ms = (2, 12, 250) if context.quick else (15, 40, 1000)
    with topology.Lab("spw-bench", build=context.build) as lab:
        site = gateway.Gateway(lab)
        site.start()
        site.keep_apart()
        site.flood(SIZE, 0.2, 10000).result()  # it has worked before it rests
        context.note(f"CPU time over {seconds} s")
        yield measure_cpu(site, seconds)
        context.note(f"{probes} packets, each after {silence_ms} ms of silence")
        yield measure_wake(site, probes, silence_ms)
