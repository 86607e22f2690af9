# SPDX-License-Identifier: BSD-2-Clause
"""Latency that a node adds, at parts of the highest rate without loss, over ring ports."""

import rings
import topology

LOADS_PERCENT = (50, 90)


def measure(context):
    sizes = (64,) if context.quick else (64, 512, 1408)
    search_s, seconds = (0.2, 1) if context.quick else (1, 5)
    for size in sizes:
        with topology.Lab("spw-bench", build=context.build) as lab:
            site = rings.Rings(lab)
            site.frames(size)
            ndr = site.ndr(search_s, seconds, context.note)
            for percent in LOADS_PERCENT:
                context.note(f"{size} bytes at {percent} % of {ndr / 1e6:.2f} Mpps")
                seen = site.trial(ndr * percent / 100, seconds)
                yield {"bench": "latency", "mode": "rings", "size": size, "workers": 1,
                       "provider": site.provider(), "tunnels": site.tunnels,
                       "load_percent": percent, "ndr_mpps": ndr / 1e6,
                       "mpps": ndr * percent / 1e8,
                       **{key: seen[key] for key in ("p50_us", "p90_us", "p99_us", "p999_us",
                                                     "max_us", "lost", "away", "away_ms")}}
            site.node.stop()
