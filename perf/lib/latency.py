# SPDX-License-Identifier: BSD-2-Clause
"""Latency that a node adds, at parts of the highest rate without loss, over ring ports."""

import rings
import topology

LOADS_PERCENT = (50, 90)


def measure(context):
    sizes, rounds = ((64,), 4) if context.quick else ((64, 512, 1408), 20)
    for size in sizes:
        with topology.Lab("spw-bench", build=context.build) as lab:
            site = rings.Rings(lab)
            site.frames(size)
            ndr = site.ndr(context.note, context.quick)
            for percent in LOADS_PERCENT:
                context.note(f"{size} bytes at {percent} % of {ndr / 1e6:.2f} Mpps")
                yield {"bench": "latency", "mode": "rings", "size": size, "workers": 1,
                       "provider": site.provider(), "tunnels": site.tunnels,
                       "load_percent": percent, "ndr_mpps": ndr / 1e6, "mpps": ndr * percent / 1e8,
                       **site.measure(ndr * percent / 100, rounds)}
            site.node.stop()
