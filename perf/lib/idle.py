# SPDX-License-Identifier: BSD-2-Clause
"""What an idle node costs, and what its first packet costs: a real node over AF_XDP."""

import json
import subprocess
import time

import gateway
import topology

BUSY_PROBES = 5000
SILENCE_MS = 1000
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


def measure_wake(site, probes):
    command = [site.lab.build / "perf/spw-perf-wake", site.other_cpu(), "app0", "peer0",
               BUSY_PROBES, probes, SILENCE_MS]
    process = site.ends.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    out, said = process.communicate(site.frame(64).hex(), timeout=60 + probes * 3)
    if process.returncode != 0:
        raise topology.LabError(said.strip())
    seen = json.loads(out)
    busy, quiet = seen["busy"], seen["quiet"]
    return {"bench": "idle", "mode": "wake", "size": 64, "workers": 1,
            "silence_ms": SILENCE_MS, "packets": quiet["packets"], "lost": seen["lost"],
            **{f"busy_{key}": busy[key] for key in ("p50_us", "p90_us", "p99_us")},
            **{f"first_{key}": quiet[key] for key in ("p50_us", "p90_us", "p99_us")},
            "later_p90_us": quiet["p90_us"] - busy["p90_us"],
            "later_p99_us": quiet["p99_us"] - busy["p99_us"]}


def measure(context):
    seconds, probes = (3, 8) if context.quick else (15, 60)
    with topology.Lab("spw-bench", build=context.build) as lab:
        site = gateway.Gateway(lab)
        site.start()
        site.keep_apart()
        site.flood(64, 0.2, 10000).result()  # it has worked before it rests
        context.note(f"CPU time over {seconds} s")
        yield measure_cpu(site, seconds)
        context.note(f"{probes} packets, each after {SILENCE_MS} ms of silence")
        yield measure_wake(site, probes)
