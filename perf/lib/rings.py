# SPDX-License-Identifier: BSD-2-Clause
"""A node whose dataplane is spw-perf-rings: real control, real tables, a generator in the worker's
receive call. See perf/rings.h."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading

import gateway
import rows
import topology

TUNNELS = 64
# Everything is measured in rounds of this length, and what counts is the quarter of them in which
# the machine took least: on a shared machine it takes something nearly always, seldom from all.
ROUND_S, CALM_PART = 0.25, 4
# The search ends when the two rates, with and without loss, are so close.
CLOSE, QUICK_CLOSE = 0.01, 0.04
SEARCH_MAX_PPS = 40_000_000
HOPELESS = 0.02  # of the packets lost: no accident, the rate is too high
DROP_TO = 0.98   # a rate that loses when it is looked at again was found by luck
CONFIRMATIONS = 2
HIGHEST_PRIORITY = -20


def calm(trials):
    """The quarter of the trials that fell least behind, the calmest first."""
    return sorted(trials, key=lambda seen: seen["slow_ms"])[:max(1, len(trials) // CALM_PART)]


def summary(trials, bare):
    """Fields of a row, of rounds and of those past the worker that took turns with them. Nothing is
    left out: what the calm rounds did not lose stands beside it."""
    best = calm(trials)
    return {"rounds": len(trials), "lost": sum(seen["lost"] for seen in best),
            "lost_all": sum(seen["lost"] for seen in trials),
            "lost_away": sum(seen["lost_away"] for seen in trials),
            "worker_drops": sum(seen["worker_drops"] for seen in trials),
            **{key: best[0][key] for key in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")},
            "worst_p99_us": max(seen["p99_us"] for seen in trials),
            "floor_p99_us": calm(bare)[0]["p99_us"],
            "away": sum(seen["away"] for seen in trials),
            "away_ms": sum(seen["away_ms"] for seen in trials),
            "floor_away_ms": sum(seen["away_ms"] for seen in bare),
            "page_faults": sum(seen["page_faults"] for seen in trials)}


class RingsNode(topology.Node):
    """As Node, but with the two processes started by hand."""

    def start(self, ready_s=20):
        self.config_path.write_text(json.dumps(self.config, indent=2))
        self.log_file = open(self.log_path, "a")
        self.control = self._popen(self.lab.program("spillway-control"), "--config",
                                   self.config_path, stdout=self.log_file)
        self.process = self.control
        topology.wait_for(lambda: (pathlib.Path(self.lab.environment["SPW_RUN_DIR"]) / self.name
                                   / "dataplane.sock").exists(), ready_s, "control listens")
        self.rings = self._popen(self.lab.build / "perf/spw-perf-rings", "--node", self.name,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait_ready(ready_s)
        self._spread_out()

    def _popen(self, *command, **options):
        return self.namespace.popen(*command, death_signal=signal.SIGTERM,
                                    env=self.lab.environment, stderr=self.log_file, **options)

    def _spread_out(self):
        """The worker keeps its CPU to itself, if there is another one, and where it does not, it
        comes first: 2 involuntary switches a second instead of 8."""
        worker_cpu = self.cli("status")["dataplane"]["workers"][0]["cpu"]
        others = os.sched_getaffinity(0) - {worker_cpu} or {worker_cpu}
        for pid in (self.control.pid, self.rings.pid):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                if os.sched_getaffinity(int(task.name)) != {worker_cpu}:
                    os.sched_setaffinity(int(task.name), others)
                else:
                    self.worker_stat = task / "stat"
                    os.setpriority(os.PRIO_PROCESS, int(task.name), HIGHEST_PRIORITY)
        self.others = others

    def page_faults(self):
        """Of the worker's thread, since its start."""
        fields = self.worker_stat.read_text().rsplit(")", 1)[1].split()
        return int(fields[7]) + int(fields[9])

    def ask(self, command, patience_s=60):
        """One command to spw-perf-rings, and its answer."""
        alarm = threading.Timer(patience_s, self.rings.kill)
        alarm.start()
        try:
            self.rings.stdin.write(command + "\n")
            self.rings.stdin.flush()
            line = self.rings.stdout.readline()
        except OSError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            raise rows.Broken(f"spw-perf-rings is gone:\n{self.log()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise rows.Broken(f"spw-perf-rings: {answer['error']}")
        return answer

    def stop(self):
        for process in (self.rings, self.control):
            process.send_signal(signal.SIGTERM)
            process.wait(15)
        for stream in (self.rings.stdin, self.rings.stdout, self.log_file):
            with contextlib.suppress(OSError):
                stream.close()
        self.namespace.run(self.lab.program("spillway-control"), "--config", self.config_path,
                           "--remove", env=self.lab.environment)


class Rings(gateway.Gateway):
    """A started node with TUNNELS tunnels, and frames of one size for all of them in turn."""

    def __init__(self, lab):
        super().__init__(lab, TUNNELS, kind=RingsNode)
        self.start()

    def frames(self, inner_bytes):
        for tunnel in range(self.tunnels):
            self.node.ask(f"frame {self.frame(inner_bytes, tunnel).hex()}")

    def trial(self, pps, how="run"):
        """The generator's answer for one round, with "lost" and "worker_drops" beside it; how:
        "run", or "bare" for past the worker."""
        before, faults = sum(self.node.drops().values()), self.node.page_faults()
        seen = self.node.ask(f"{how} {pps:.0f} {ROUND_S}")
        seen["lost"] = seen["offered"] - seen["received"]
        seen["page_faults"] = self.node.page_faults() - faults
        seen["worker_drops"] = sum(self.node.drops().values()) - before
        unexplained = (seen["lost"] - seen["ring_full"] - seen["buffers_short"]
                       - seen["worker_drops"])
        if unexplained:
            raise rows.Broken(f"rings: {unexplained} packets of {seen['offered']} are neither "
                              f"sent, dropped nor refused: {seen}")
        return seen

    def measure(self, pps, rounds):
        """summary() of so many rounds."""
        trials = [(self.trial(pps), self.trial(pps, "bare")) for _ in range(rounds)]
        return summary(*zip(*trials))

    def ndr(self, note, quick=False):
        """The highest rate without loss, in packets per second (RFC 2544 26.1)."""
        low, high = 0.0, float(SEARCH_MAX_PPS)
        rate = self.trial(high)["received"] / ROUND_S
        while high - low > (QUICK_CLOSE if quick else CLOSE) * high:
            note(f"NDR: trial at {rate / 1e6:.2f} Mpps")
            if _holds(self, rate):
                low = rate
            else:
                high = rate
            if low and high < SEARCH_MAX_PPS:
                rate = (low + high) / 2
            else:
                rate *= 1.1 if low else 0.9
            if rate < 100_000:
                raise rows.Broken("rings: packets are lost at any rate")
        while not all(_holds(self, low) for _ in range(CONFIRMATIONS)):
            low *= DROP_TO
            note(f"NDR: confirming {low / 1e6:.2f} Mpps")
        return low


def _holds(site, pps):
    """Whether nothing is lost at a rate, as it is said of the rows: in the calmest quarter."""
    for _ in range(CALM_PART):
        seen = site.trial(pps)
        if seen["lost"] == 0:
            return True
        if seen["lost"] > HOPELESS * seen["offered"]:
            return False
    return False
