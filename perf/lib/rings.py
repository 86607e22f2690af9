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
# The search ends when the two rates, with and without loss, are so close.
CLOSE = 0.01
SEARCH_MAX_PPS = 40_000_000
DROP_TO = 0.98  # a rate that loses in a longer trial was found by luck


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
        """The worker keeps its CPU to itself, if there is another one."""
        worker_cpu = self.cli("status")["dataplane"]["workers"][0]["cpu"]
        others = os.sched_getaffinity(0) - {worker_cpu} or {worker_cpu}
        for pid in (self.control.pid, self.rings.pid):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                if os.sched_getaffinity(int(task.name)) != {worker_cpu}:
                    os.sched_setaffinity(int(task.name), others)
        self.others = others

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

    def trial(self, pps, seconds):
        """The generator's answer, with "lost" and "worker_drops" beside it."""
        before = sum(self.node.drops().values())
        seen = self.node.ask(f"run {pps:.0f} {seconds}", patience_s=seconds * 4 + 30)
        seen["lost"] = seen["offered"] - seen["received"]
        seen["worker_drops"] = sum(self.node.drops().values()) - before
        unexplained = (seen["lost"] - seen["ring_full"] - seen["buffers_short"]
                       - seen["worker_drops"])
        if unexplained:
            raise rows.Broken(f"rings: {unexplained} packets of {seen['offered']} are neither "
                              f"sent, dropped nor refused: {seen}")
        return seen

    def ndr(self, seconds, confirm_s, note):
        """The highest rate without loss, in packets per second (RFC 2544 26.1)."""
        low, high = 0.0, float(SEARCH_MAX_PPS)
        rate = self.trial(high, seconds / 2)["received"] / (seconds / 2)
        while high - low > CLOSE * high:
            note(f"NDR: trial at {rate / 1e6:.2f} Mpps")
            if self.trial(rate, seconds)["lost"]:
                high = rate
            else:
                low = rate
            if low and high < SEARCH_MAX_PPS:
                rate = (low + high) / 2
            else:
                rate *= 1.1 if low else 0.9
            if rate < 100_000:
                raise rows.Broken("rings: packets are lost at any rate")
        while self.trial(low, confirm_s)["lost"]:
            low *= DROP_TO
            note(f"NDR: confirming {low / 1e6:.2f} Mpps")
        return low
