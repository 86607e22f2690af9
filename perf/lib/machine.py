# SPDX-License-Identifier: BSD-2-Clause
"""What a run ran on, and what else the machine did meanwhile."""

import os
import pathlib
import platform
import re
import subprocess
import time

PACKAGES = {"dpdk": "libdpdk", "openssl": "libcrypto", "libbpf": "libbpf", "libxdp": "libxdp"}


def _output(*command):
    try:
        return subprocess.run(command, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu_model():
    found = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _ipsec_mb():
    """The package's version: the library has no pkg-config file."""
    return _output("dpkg-query", "-W", "-f", "${Version}", "libipsec-mb1").split("-")[0]


def cpus():
    """(CPU of the worker, CPUs of all else): the last one that this process may use, and the
    others; one and the same where there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[:-1] or allowed


def facts(root):
    """What does not change during a run."""
    virtual = _output("systemd-detect-virt")
    memory_kib = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    huge = int(pathlib.Path("/proc/sys/vm/nr_hugepages").read_text())
    versions = {name: _output("pkg-config", "--modversion", package)
                for name, package in PACKAGES.items()}
    versions["ipsec_mb"] = _ipsec_mb()
    return {"cpu": _cpu_model(), "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory_kib / 2 ** 20, 1), "hugepages": huge,
            "kernel": platform.release(), "virtual": virtual or "unknown",
            "versions": {name: text for name, text in versions.items() if text},
            "revision": _output("git", "-C", str(root), "describe", "--always", "--dirty"),
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def _ticks():
    """(stolen by the host, busy) of all CPUs, in seconds."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    hertz = os.sysconf("SC_CLK_TCK")
    return steal / hertz, (user + nice + system + irq + softirq) / hertz


class Watch:
    """Stolen time and load between its making and finish()."""

    def __init__(self):
        self.began = time.monotonic()
        self.stolen_s, self.busy_s = _ticks()

    def finish(self):
        stolen_s, busy_s = _ticks()
        seconds = time.monotonic() - self.began
        return {"seconds": round(seconds, 1), "stolen_ms": round((stolen_s - self.stolen_s) * 1000),
                "busy_cpus": round((busy_s - self.busy_s) / seconds, 2),
                "load_average": round(os.getloadavg()[0], 2)}
