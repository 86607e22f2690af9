# SPDX-License-Identifier: BSD-2-Clause
"""perf/bench's own parts: what it takes for a measurement, what it says of one, how it searches.

No machine is measured here: programs are small scripts, and rates those of a model.
"""

import io
import pathlib
import re
import signal
import stat
import struct
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "perf/lib"), str(ROOT / "tools/lib"), str(ROOT / "tests/nodes")]

import figures  # noqa: E402
import gateway  # noqa: E402
import rings  # noqa: E402
import rows  # noqa: E402
import runner  # noqa: E402
import storm  # noqa: E402
import suite  # noqa: E402
import table  # noqa: E402
import targets  # noqa: E402
import topology  # noqa: E402
from progress import Progress  # noqa: E402

GOOD = '{"bench": "encap", "size": 64, "tunnels": 64, "cycles_per_packet": 190.5, "lost": 0}'


class Rows(unittest.TestCase):
    def test_good(self):
        for line in (GOOD,
                     '{"bench": "encap", "size": "imix", "mpps": 3}',
                     '{"bench": "idle", "cpu_percent": 0.0}',
                     '{"bench": "afxdp", "peer": "testpmd", "peer_value": 0.7, "ratio": 1.1}',
                     '{"bench": "encap", "over_floor": -3.5}'):
            self.assertEqual(rows.parse(line, "x")["bench"], line.split('"')[3])

    def test_broken(self):
        for line, said in (
                ("cycles: 190", "no JSON object"),
                ("[1, 2]", "must be an object"),
                ('{"size": 64, "mpps": 3}', 'with "bench"'),
                ('{"bench": "encap", "mpps": NaN}', "NaN"),
                ('{"bench": "encap", "mpps": Infinity}', "Infinity"),
                ('{"bench": "encap", "mpps": 1e999}', "is inf"),
                ('{"bench": "encap", "mpps": 0}', '"mpps" must be above 0'),
                ('{"bench": "encap", "cycles_per_packet": -4}', "must be above 0"),
                ('{"bench": "encap", "mpps": "fast"}', "must be above 0"),
                ('{"bench": "encap", "mpps": true}', "must be above 0"),
                ('{"bench": "encap", "size": "big", "mpps": 1}', '"size" must be above 0'),
                ('{"bench": "encap", "mpps": 1, "lost": 0.5}', "count of packets"),
                ('{"bench": "encap", "mpps": 1, "lost": -1}', "count of packets"),
                ('{"bench": "encap", "mpps": 1, "provider": ""}', "must be a word"),
                ('{"bench": "trie", "load_s": 1, "change_visible_ms": {"/8": 1e999}}', "is inf"),
                ('{"bench": "encap", "size": 64, "tunnels": 64}', "nothing was measured")):
            with self.subTest(line), self.assertRaises(rows.Broken) as broken:
                rows.parse(line, "prog")
            self.assertIn(said, str(broken.exception))
            self.assertTrue(str(broken.exception).startswith("prog: "))

    def test_set(self):
        seen = [{"bench": "encap"}, {"bench": "decap"}]
        rows.check_set(seen, ("decap", "encap"), "prog")
        with self.assertRaisesRegex(rows.Broken, "no row of hop"):
            rows.check_set(seen, ("decap", "encap", "hop"), "prog")
        with self.assertRaisesRegex(rows.Broken, "not its own"):
            rows.check_set(seen, ("encap",), "prog")
        with self.assertRaisesRegex(rows.Broken, "no row of encap"):
            rows.check_set([], ("encap",), "prog")


class Programs(unittest.TestCase):
    """Programs that measure, or fail to, in all ways."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        (self.build / "perf").mkdir()
        self.notes = []

    def program(self, script, benches=("encap",), **options):
        path = self.build / "perf/fake"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return suite.Part("fake", benches, 1, 1, **options)

    def run_part(self, part, quick=True):
        return runner.run_part(part, runner.Context(self.build, quick, self.notes.append))

    def broken(self, part):
        with self.assertRaises(rows.Broken) as broken:
            self.run_part(part)
        return str(broken.exception)

    def test_good(self):
        part = self.program(f"echo measuring >&2; echo '{GOOD}'; echo '{GOOD}'")
        self.assertEqual([row["cycles_per_packet"] for row in self.run_part(part)], [190.5] * 2)
        self.assertIn("measuring", self.notes)

    def test_slow_is_good(self):
        part = self.program(f"sleep 0.5; echo '{GOOD}'")
        self.assertEqual(len(self.run_part(part)), 1)

    def test_arguments(self):
        script = 'echo "{\\"bench\\": \\"encap\\", \\"mpps\\": 1, \\"case\\": \\"$*\\"}"'
        part = self.program(script, words=("--provider", "a"), quick_words=("--size", "64"))
        self.assertEqual(self.run_part(part)[0]["case"], "--provider a --quick --size 64")
        self.assertEqual(self.run_part(part, quick=False)[0]["case"], "--provider a")

    def test_failure(self):
        said = self.broken(self.program(f"echo '{GOOD}'; echo no memory for keys >&2; exit 3"))
        self.assertIn("exit status 3", said)
        self.assertIn("no memory for keys", said)

    def test_crash(self):
        self.assertIn(f"killed by signal {int(signal.SIGSEGV)}",
                      self.broken(self.program(f"echo '{GOOD}'; kill -SEGV $$")))

    def test_silence(self):
        self.assertIn("no row of encap", self.broken(self.program("exit 0")))

    def test_garbage(self):
        self.assertIn("no JSON object", self.broken(self.program("echo EAL: oops")))

    def test_garbage_ends_the_program(self):
        marker = self.build / "went on"
        self.broken(self.program(f"echo oops; sleep 1; touch '{marker}'"))
        self.assertFalse(marker.exists())

    def test_missing(self):
        part = suite.Part("absent", ("encap",), 1, 1)
        self.assertIn("absent: cannot be started", self.broken(part))

    def test_hanging(self):
        self.program("sleep 60")
        with self.assertRaisesRegex(rows.Broken, "did not end within"):
            list(runner.run_program(self.build / "perf/fake", [], 0.3, self.notes.append))

    def test_module(self):
        def measure(context):
            yield {"bench": "encap", "mpps": 1.0 if context.quick else 2.0}
        module = types.ModuleType("module")
        module.measure = measure
        part = suite.Part(module, ("encap",), 1, 1)
        self.assertEqual(self.run_part(part), [{"bench": "encap", "mpps": 1.0}])

    def test_module_failure(self):
        def measure(_):
            raise topology.LabError("node is ready: not within 20 s")
            yield
        module = types.ModuleType("module")
        module.measure = measure
        self.assertIn("not within 20 s", self.broken(suite.Part(module, ("encap",), 1, 1)))

    def test_the_rest_goes_on(self):
        good = self.program(f"echo '{GOOD}'")
        found, broken = runner.run([suite.Part("absent", ("decap",), 1, 1), good], self.build, True,
                                   Progress(io.StringIO()))
        self.assertEqual((len(found), len(broken)), (1, 1))


class Suite(unittest.TestCase):
    def test_names(self):
        self.assertEqual(suite.chosen([]), list(suite.PARTS))
        for name in suite.names():
            self.assertTrue(suite.chosen([name]), name)
        self.assertFalse(suite.chosen(["nothing"]))

    def test_quick_takes_two_minutes(self):
        self.assertLessEqual(sum(part.expected_s(True) for part in suite.PARTS), 120)


class Targets(unittest.TestCase):
    def met(self, *given):
        found = [dict(row) for row in given]
        targets.judge(found)
        return found[-1].get("met")

    def test_truth_table(self):
        pipeline = {"bench": "encap", "size": 64, "tunnels": 64, "floor_cycles": 140}
        many = {**pipeline, "tunnels": 1000}
        for row, wanted in (
                ({**pipeline, "cycles_per_packet": 190}, True),
                ({**pipeline, "cycles_per_packet": 190.5}, False),
                ({**pipeline, "bench": "decap", "cycles_per_packet": 200}, True),
                ({**pipeline, "bench": "hop", "cycles_per_packet": 231}, False),
                ({**pipeline, "bench": "gateway", "cycles_per_packet": 999}, None),
                ({**many, "cycles_per_packet": 190}, None),  # no row of 64 to compare it to
                ({"bench": "trie", "prefixes": 1000000, "ratio": 0.6}, True),
                ({"bench": "trie", "prefixes": 10000, "ratio": 0.99}, False),
                ({"bench": "trie", "prefixes": 77, "ratio": 0.1}, None),
                ({"bench": "classifier", "verdict": "pass", "hot": True, "net_ns": 15}, True),
                ({"bench": "classifier", "verdict": "steer", "hot": True, "net_ns": 36}, False),
                ({"bench": "classifier", "verdict": "relay", "hot": False, "net_ns": 300}, None),
                ({"bench": "afxdp", "mode": "plain", "ratio": 0.9}, True),
                ({"bench": "afxdp", "mode": "encap", "ratio": 0.1}, None),
                ({"bench": "workers", "ratio": 0.96}, False),
                ({"bench": "storm", "route_changes_per_s": 10000, "lost": 0}, True),
                ({"bench": "storm", "route_changes_per_s": 10000, "lost": 1}, False),
                ({"bench": "storm", "route_changes_per_s": 0, "lost": 1}, None),
                ({"bench": "latency", "load_percent": 50, "p99_us": 20.1}, False),
                ({"bench": "latency", "load_percent": 90, "p99_us": 2000}, None),
                ({"bench": "idle", "cpu_percent": 0.3}, True),
                ({"bench": "idle", "later_p90_us": 151, "floor_later_p90_us": 160}, False),
                ({"bench": "aead", "cycles_per_packet": 1}, None)):
            with self.subTest(row):
                self.assertEqual(self.met(row), wanted)

    def test_trie_of_a_million(self):
        row = {"bench": "trie", "prefixes": 1000000, "load_s": 3, "memory_peak_mib": 24,
               "change_visible_ms": {"/0": 20, "/8": 2, "/12": 1, "/32": 0.01}}
        for change, wanted in (
                ({}, True), ({"load_s": 3.1}, False), ({"memory_peak_mib": 24.1}, False),
                ({"change_visible_ms": {"/0": 21, "/12": 1}}, False),
                ({"change_visible_ms": {"/0": 20, "/12": 1.1}}, False)):
            with self.subTest(change):
                self.assertEqual(self.met({**row, **change}), wanted)
        self.assertIs(self.met({"bench": "trie", "prefixes": 100000, "tenants10k_mib": 65}), False)
        self.assertIs(self.met({"bench": "trie", "prefixes": 100000, "tenants10k_mib": 64}), True)

    def test_many_tunnels(self):
        base = {"bench": "encap", "size": 64, "tunnels": 64, "provider": "a",
                "cycles_per_packet": 200, "floor_cycles": 100}
        other = {**base, "provider": "b", "cycles_per_packet": 1000}
        for tunnels, cycles, wanted in ((1000, 250, True), (1000, 251, False), (4096, 300, True),
                                        (4096, 301, False), (512, 9999, False)):
            with self.subTest(tunnels=tunnels, cycles=cycles):
                self.assertEqual(self.met(other, base, {
                    **base, "tunnels": tunnels, "cycles_per_packet": cycles}), wanted)
                self.assertEqual(self.met(other, base, {  # the same on a CPU half as fast
                    **base, "tunnels": tunnels, "cycles_per_packet": 2 * cycles,
                    "floor_cycles": 200}), wanted)

    def test_sentence(self):
        row = {"bench": "encap", "tunnels": 64, "cycles_per_packet": 197.0, "floor_cycles": 140.0}
        targets.judge([row])
        self.assertEqual(row["target"], "floor + 50: 197 <= 190 cycles, missed by 7")


class Tables(unittest.TestCase):
    ROWS = [{"bench": "encap", "size": 64, "own_field": 1, "mpps": 3.14159, "target": "x <= 1",
             "met": True},
            {"bench": "encap", "size": "imix", "mpps": 12345.6, "lost": 0},
            {"bench": "idle", "cpu_percent": 0.25}]

    def test_grid(self):
        headings, lines = table.grid(self.ROWS[:2])
        self.assertEqual(headings, ["bytes", "Mpps", "lost", "own field", "target"])
        self.assertEqual(lines, [["64", "3.14", "", "1", "ok x <= 1"],
                                 ["imix", "12346", "0", "", ""]])

    def test_terminal(self):
        out = io.StringIO()
        table.terminal(self.ROWS, out)
        self.assertEqual([line for line in out.getvalue().splitlines() if line and line[0] != " "],
                         ["encap", "idle"])

    def test_verdict(self):
        self.assertEqual(table.verdict([{"target": "a", "met": True}, {"target": "b", "met": False},
                                        {}]), "1 of 2 targets met")

    def test_page(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            page.write_text("a\n<!-- rows: encap -->\nold\n<!-- end -->\nb\n"
                            "<!-- rows: hop -->\nkept\n<!-- end -->\n"
                            "<!-- machine -->\n<!-- end -->\n")
            facts = {"cpu": "C", "virtual": "none", "cpus": 2, "kernel": "6", "hugepages": 0,
                     "versions": {"dpdk": "22"}, "revision": "r", "began": "2026-01-02T",
                     "seconds": 1.0, "stolen_ms": 3}
            figures.fill_in(page, {"machine": facts, "rows": self.ROWS})
            text = page.read_text()
            figures.fill_in(page, {"machine": facts, "rows": self.ROWS})
            self.assertEqual(page.read_text(), text)
        self.assertNotIn("old", text)
        self.assertIn("| bytes | Mpps | lost | own field | target |", text)
        self.assertIn("\nkept\n", text)
        self.assertIn("3 ms away", text)


class Figures(unittest.TestCase):
    def rows(self):
        for bench in ("encap", "decap", "hop"):
            for size in (64, 1408, "imix"):
                for tunnels in (64, 1000):
                    yield {"bench": bench, "size": size, "tunnels": tunnels, "provider": "a",
                           "cycles_per_packet": 300.0, "floor_cycles": 200.0, "aead_cycles": 160.0,
                           "io_cycles": 40.0, "peer": "rte_ipsec", "peer_value": 400.0}
        yield {"bench": "trie", "prefixes": 10000, "bulk_ns_per_lookup": 7.0, "peer": "rte_lpm",
               "peer_value": 8.0}
        yield {"bench": "classifier", "verdict": "pass", "hot": True, "ns_per_packet": 40.0,
               "empty_ns": 30.0}
        yield {"bench": "latency", "size": 64, "load_percent": 50, "ndr_mpps": 3.0, "p50_us": 1.0,
               "p90_us": 2.0, "p99_us": 3.0, "p999_us": 9.0, "max_us": 20.0}

    def test_all_are_drawn_and_always_the_same(self):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            self.skipTest("python3-matplotlib is not installed")
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            written = figures.draw(list(self.rows()), pathlib.Path(one))
            figures.draw(list(self.rows()), pathlib.Path(other))
            self.assertEqual(written, [f"{name}.svg" for name in figures.FIGURES])
            for name in written:
                text = (pathlib.Path(one) / name).read_text()
                self.assertEqual(text, (pathlib.Path(other) / name).read_text())
                self.assertTrue(re.search(r"<svg", text))

    def test_nothing_to_draw(self):
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            self.skipTest("python3-matplotlib is not installed")
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(figures.draw([{"bench": "idle", "cpu_percent": 1}],
                                          pathlib.Path(folder)), [])


class Search(unittest.TestCase):
    """The search for the highest rate without loss, against a model of a node."""

    def site(self, capacity, mishaps=()):
        """Loses above its capacity, and a few in the trials whose numbers are mishaps."""
        site, trials = types.SimpleNamespace(), []

        def trial(pps):
            trials.append(pps)
            lost = max(0, pps - capacity) * rings.ROUND_S + (len(trials) in mishaps)
            return {"offered": pps * rings.ROUND_S, "lost": int(lost),
                    "received": min(pps, capacity) * rings.ROUND_S}
        site.trial, site.trials = trial, trials
        return site

    def ndr(self, site):
        return rings.Rings.ndr(site, lambda _: None)

    def test_finds_the_capacity(self):
        for capacity in (150_000, 987_654, 4_000_000, 17_000_000):
            for mishaps in ((), (2, 3, 6, 9, 10, 11)):
                with self.subTest(capacity=capacity, mishaps=mishaps):
                    found = self.ndr(self.site(capacity, mishaps))
                    self.assertLessEqual(found, capacity)
                    self.assertGreaterEqual(found, capacity * 0.98)

    def test_an_estimate_that_is_too_low(self):
        site = self.site(4_000_000)
        overloaded = site.trial

        def trial(pps):
            seen = overloaded(pps)
            if pps > 20_000_000:  # the generator takes most of the CPU
                seen["received"] /= 3
            return seen
        site.trial = trial
        found = self.ndr(site)
        self.assertTrue(4_000_000 * 0.98 <= found <= 4_000_000)

    def test_what_was_found_by_luck_is_not_kept(self):
        site = self.site(1_000_000)
        honest = site.trial

        def trial(pps):
            # A tenth more passes, but not twice.
            lucky = pps < 1_100_000 and pps not in site.trials
            return {**honest(pps), **({"lost": 0} if lucky else {})}
        site.trial = trial
        self.assertLessEqual(self.ndr(site), 1_000_000)

    def test_always_lossy(self):
        site = types.SimpleNamespace(
            trial=lambda pps: {"offered": pps, "received": pps, "lost": 1})
        with self.assertRaisesRegex(rows.Broken, "at any rate"):
            self.ndr(site)

    def test_the_calm_rounds_count_and_no_loss_is_left_out(self):
        def seen(slow_ms, lost, p99_us):
            return {"slow_ms": slow_ms, "lost": lost, "lost_away": 1, "worker_drops": 0,
                    "p50_us": 1, "p90_us": 2, "p99_us": p99_us, "p999_us": 9, "max_us": 99,
                    "away": 1, "away_ms": 0.5, "page_faults": 0}
        trials = [seen(9, 100, 50), seen(2, 3, 8), seen(1, 0, 7)] + [seen(5, 1, 20)] * 5
        row = rings.summary(trials, [seen(4, 0, 0.4), seen(3, 0, 0.3)])
        self.assertEqual({key: row[key] for key in (
            "rounds", "lost", "lost_all", "lost_away", "p99_us", "worst_p99_us", "floor_p99_us",
            "away", "away_ms", "floor_away_ms")},
            {"rounds": 8, "lost": 3, "lost_all": 108, "lost_away": 8, "p99_us": 7,
             "worst_p99_us": 50, "floor_p99_us": 0.3, "away": 8, "away_ms": 4,
             "floor_away_ms": 1})


class Loads(unittest.TestCase):
    def test_frame(self):
        frame = gateway.udp_frame("02:00:00:00:00:01", "02:00:00:00:00:02", "10.1.0.2",
                                  "10.9.3.5", 64)
        self.assertEqual(len(frame), 14 + 64)
        self.assertEqual(frame[:14].hex(), "020000000001" "020000000002" "0800")
        words = struct.unpack(">10H", frame[14:34])
        total = sum(words)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        self.assertEqual(total, 0xFFFF)
        self.assertEqual((words[1], frame[26:34].hex()), (64, "0a010002" "0a090305"))
        self.assertEqual(struct.unpack(">H", frame[38:40]), (44,))

    def test_storm_leaves_nothing(self):
        maker = types.SimpleNamespace(tunnels=64)
        there, rates = set(), 0
        for number in range(2 * 60):
            changes, _, _ = storm.Storm._batch(maker, number)
            self.assertEqual([change["line"] for change in changes],
                             list(range(1, len(changes) + 1)))
            for change in changes:
                prefix = change["params"].get("prefix")
                if change["method"] == "route.add":
                    self.assertNotIn(prefix, there)
                    there.add(prefix)
                elif change["method"] == "route.del":
                    there.remove(prefix)
                else:
                    rates += 1
            if number % 2:
                self.assertFalse(there)
        per_second = storm.BATCHES_PER_S
        self.assertEqual(rates, 120 * storm.RATES_PER_S // per_second)


if __name__ == "__main__":
    unittest.main()
