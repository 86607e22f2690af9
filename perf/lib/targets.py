# SPDX-License-Identifier: BSD-2-Clause
"""What the project wants to reach, row by row. A target that is missed is a figure, no error."""

# Cycles above the floor: AEAD and I/O of the same run; of a hop, twice the AEAD.
ABOVE_FLOOR = {"encap": 50, "decap": 60, "hop": 90}
# Cycles with many tunnels in random order, times those of 64; both in floors of their own time, as
# a virtual CPU's speed changes from one second to the next by more than this is about.
SPREAD_FROM, SPREAD = 64, {1000: 1.25, 4096: 1.5}
CLASSIFIER_NET_NS = {"pass": 15, "steer": 35, "relay": 60}
TRIE_RATIO = {1000000: 0.6, 10000: 1.0}
TRIE_PEAK_MIB, TRIE_LOAD_S, TRIE_TENANTS_MIB = 24, 3, 64
# Until a change is visible, by the length of the prefix.
TRIE_LONG_BITS, TRIE_LONG_MS, TRIE_SHORT_MS = 12, 1, 20


def _at_most(value, limit, what, unit):
    met = value <= limit
    by = "" if met else f", missed by {value - limit:.3g}"
    return {"target": f"{what}: {value:.4g} <= {limit:.4g}{unit}{by}", "met": met}


def _at_least(value, limit, what):
    met = value >= limit
    by = "" if met else f", missed by {limit - value:.3g}"
    return {"target": f"{what}: {value:.3f} >= {limit}{by}", "met": met}


def _spread_base(row, rows):
    """Cycles by floor of the row of 64 tunnels that is otherwise the same."""
    same = ("bench", "size", "provider", "workers", "mode")
    for other in rows:
        if (other.get("tunnels") == SPREAD_FROM and "cycles_per_packet" in other and
                all(other.get(key) == row.get(key) for key in same)):
            return other["cycles_per_packet"] / other["floor_cycles"]
    return None


def _pipeline(row, rows):
    bench, tunnels = row["bench"], row.get("tunnels")
    cycles = row.get("cycles_per_packet")
    if cycles is None:
        return None
    if tunnels in SPREAD:
        base = _spread_base(row, rows)
        return base and _at_most(cycles / row["floor_cycles"] / base, SPREAD[tunnels],
                                 f"times {SPREAD_FROM} tunnels", "")
    if bench in ABOVE_FLOOR and "floor_cycles" in row:
        return _at_most(cycles, row["floor_cycles"] + ABOVE_FLOOR[bench],
                        f"floor + {ABOVE_FLOOR[bench]}", " cycles")
    return None


def _both(*verdicts):
    """Several targets of one row."""
    return {"target": "; ".join(each["target"] for each in verdicts),
            "met": all(each["met"] for each in verdicts)}


def _trie(row, _):
    if "tenants10k_mib" in row:
        return _at_most(row["tenants10k_mib"], TRIE_TENANTS_MIB, "10,000 tenants", " MiB")
    if "change_visible_ms" in row and row.get("prefixes") == 1000000:
        visible = {int(bits[1:]): ms for bits, ms in row["change_visible_ms"].items()}
        long_ms = max(ms for bits, ms in visible.items() if bits >= TRIE_LONG_BITS)
        short_ms = max(visible.values())
        return _both(_at_most(row["memory_peak_mib"], TRIE_PEAK_MIB, "peak", " MiB"),
                     _at_most(row["load_s"], TRIE_LOAD_S, "loaded", " s"),
                     _at_most(long_ms, TRIE_LONG_MS, f"/{TRIE_LONG_BITS} and longer", " ms"),
                     _at_most(short_ms, TRIE_SHORT_MS, "any length", " ms"))
    limit = TRIE_RATIO.get(row.get("prefixes"))
    return _at_least(row["ratio"], limit, "of rte_lpm") if limit and "ratio" in row else None


def _classifier(row, _):
    limit = CLASSIFIER_NET_NS.get(row.get("verdict"))
    if limit is None or "net_ns" not in row or row.get("hot") is False:
        return None
    return _at_most(row["net_ns"], limit, "net", " ns")


def _afxdp(row, _):
    return (_at_least(row["ratio"], 0.90, "of testpmd")
            if row.get("mode") == "plain" and "ratio" in row else None)


def _workers(row, _):
    return _at_least(row["ratio"], 0.97, "of two processes") if "ratio" in row else None


def _storm(row, _):
    return (_at_most(row["lost"], 0, "lost", " packets")
            if row.get("route_changes_per_s") and "lost" in row else None)


def _latency(row, _):
    return (_at_most(row["p99_us"], 20, "p99", " us") if row.get("load_percent") == 50 else None)


def _idle(row, _):
    if "cpu_percent" in row:
        return _at_most(row["cpu_percent"], 1, "of a core", " %")
    if "later_p90_us" in row:
        plain = f" (a plain program {row['floor_later_p90_us']:.0f})"
        return _at_most(row["later_p90_us"], 150, "later at p90" + plain, " us")
    return None


_OF = {"encap": _pipeline, "decap": _pipeline, "hop": _pipeline, "gateway": _pipeline,
       "trie": _trie, "classifier": _classifier, "afxdp": _afxdp, "workers": _workers,
       "storm": _storm, "latency": _latency, "idle": _idle}


def judge(rows):
    """Adds "target" (a sentence) and "met" to the rows that have a target."""
    for row in rows:
        verdict = _OF.get(row["bench"], lambda *_: None)(row, rows)
        if verdict:
            row.update(verdict)
