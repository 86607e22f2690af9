# SPDX-License-Identifier: BSD-2-Clause
"""Rows as figures (SVG), and as the tables of docs/performance.md."""

import re

import table

# On white and on black alike: mid-grey text and lines, no background, colours that both carry.
GREY = "#808a94"
OURS, AEAD, IO, PEER, SECOND = "#2f81f7", "#9a6fd6", "#4c9f70", "#d08a2d", "#d1495b"
SIZE_ORDER = (64, 128, 512, 1408, "imix")
TUNNELS_USUAL = 64


def _plot():
    """matplotlib, imported here: who wants no figures need not have it."""
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plot
    plot.rcParams.update({
        "svg.fonttype": "path", "svg.hashsalt": "spillway", "font.size": 10,
        "font.family": "DejaVu Sans", "text.color": GREY, "axes.edgecolor": GREY,
        "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
        "axes.titlecolor": GREY, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "axes.grid.axis": "y", "grid.color": GREY, "grid.alpha": 0.25,
        "axes.axisbelow": True, "axes.ymargin": 0.12, "axes.facecolor": "none",
        "legend.frameon": False, "savefig.transparent": True})
    return plot


def _fastest(rows):
    """The rows of the provider that the node would choose."""
    def cycles(provider):
        return sum(row["cycles_per_packet"] for row in rows if row.get("provider") == provider)
    providers = {row.get("provider") for row in rows}
    counts = {provider: sum(row.get("provider") == provider for row in rows)
              for provider in providers}
    best = min(providers, key=lambda provider: cycles(provider) / counts[provider])
    return [row for row in rows if row.get("provider") == best]


def _sized(rows):
    """{size: row} of the usual number of tunnels, in the order of the sizes."""
    usual = {row["size"]: row for row in rows if row.get("tunnels") == TUNNELS_USUAL}
    return {size: usual[size] for size in SIZE_ORDER if size in usual}


def cycles(plot, rows):
    """Cycles per packet by size, stacked on the floor, the peer beside it."""
    benches = [name for name in ("encap", "decap", "hop") if name in rows]
    benches = [name for name in benches if _sized(_fastest(rows[name]))]
    if not benches:
        return None
    figure, axes = plot.subplots(1, len(benches), figsize=(3.4 * len(benches), 3.6), sharey=True,
                                 squeeze=False)
    for axis, name in zip(axes[0], benches):
        own = _sized(_fastest(rows[name]))
        places = range(len(own))
        aead = [row.get("aead_cycles", row["floor_cycles"]) for row in own.values()]
        io = [row.get("io_cycles", 0) for row in own.values()]
        rest = [max(row["cycles_per_packet"] - row["floor_cycles"], 0) for row in own.values()]
        axis.bar(places, aead, 0.5, color=AEAD, label="AEAD alone")
        axis.bar(places, io, 0.5, aead, color=IO, label="bare I/O")
        axis.bar(places, rest, 0.5, [a + b for a, b in zip(aead, io)], color=OURS,
                 label="all else")
        peers = [(place, row["peer_value"]) for place, row in zip(places, own.values())
                 if "peer_value" in row]
        if peers:
            peer = next(row["peer"] for row in own.values() if "peer" in row)
            axis.plot(*zip(*peers), "_", color=PEER, markersize=22, markeredgewidth=2.5,
                      label=f"{peer}, all in all")
        for place, row in zip(places, own.values()):
            axis.annotate(f"{row['cycles_per_packet']:.0f}", (place, row["cycles_per_packet"]),
                          ha="center", va="bottom", fontsize=9)
        axis.set_xticks(list(places), [str(size) for size in own])
        axis.set_title(name)
        axis.set_xlabel("inner bytes")
    axes[0][0].set_ylabel("TSC cycles per packet")
    axes[0][0].legend(loc="upper left", fontsize=8)
    return figure


def tunnels(plot, rows):
    """Cycles per packet by the number of tunnels, in random order, in floors of the same moment: a
    virtual CPU's speed changes from one row to the next by more than tunnels do."""
    shown = {}
    for name in ("encap", "decap", "hop"):
        points = sorted((row["tunnels"], row["cycles_per_packet"] / row["floor_cycles"])
                        for row in (_fastest(rows[name]) if name in rows else ())
                        if row["size"] == 64)
        if len(points) > 1:
            shown[name] = points
    if not shown:
        return None
    figure, axis = plot.subplots(figsize=(5.6, 3.4))
    # Encap and decap lie close together: the figures of one go below its line.
    for (name, points), colour, above in zip(shown.items(), (OURS, IO, SECOND), (-14, 6, 6)):
        axis.plot(*zip(*points), "o-", color=colour, label=name)
        for x, y in points:
            axis.annotate(f"{y:.2f}", (x, y), textcoords="offset points", xytext=(0, above),
                          ha="center", fontsize=9)
    axis.set_xscale("log")
    counts = sorted({x for points in shown.values() for x, _ in points})
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel("tunnels, taken in random order")
    axis.set_ylabel("cycles per packet of 64 bytes, in floors")
    axis.legend(loc="lower right")
    return figure


def trie(plot, rows):
    """Nanoseconds per lookup beside rte_lpm, by the number of prefixes."""
    own = [row for row in rows.get("trie", ()) if "bulk_ns_per_lookup" in row
           and "peer_value" in row]
    if not own:
        return None
    names = ["\n".join([f"{row['prefixes']:,}", *(row[key] for key in ("table", "destinations")
                                                 if key in row)]) for row in own]
    figure, axis = plot.subplots(figsize=(1.4 + 1.3 * len(own), 3.4))
    places = range(len(own))
    axis.bar([place - 0.2 for place in places], [row["bulk_ns_per_lookup"] for row in own], 0.38,
             color=OURS, label="Spillway")
    axis.bar([place + 0.2 for place in places], [row["peer_value"] for row in own], 0.38,
             color=PEER, label=own[0]["peer"])
    for place, row in zip(places, own):
        for shift, value in ((-0.2, row["bulk_ns_per_lookup"]), (0.2, row["peer_value"])):
            axis.annotate(f"{value:.1f}", (place + shift, value), ha="center", va="bottom",
                          fontsize=9)
    axis.set_xticks(list(places), names)
    axis.set_xlabel("prefixes, and where the packets go")
    axis.set_ylabel("ns per lookup, in bulk")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


def classifier(plot, rows):
    """Nanoseconds by verdict, an empty program's share apart."""
    own = [row for row in rows.get("classifier", ()) if row.get("hot") is not False
           and "ns_per_packet" in row and "verdict" in row]
    if not own:
        return None
    figure, axis = plot.subplots(figsize=(7.4, 0.9 + 0.42 * len(own)))
    names = [f"{row['verdict']}: {row['case']}" if "case" in row else row["verdict"]
             for row in own]
    places = list(range(len(own)))[::-1]
    empty = [row.get("empty_ns", 0) for row in own]
    axis.barh(places, empty, 0.6, color=GREY, alpha=0.5, label="an empty program")
    axis.barh(places, [max(row["ns_per_packet"] - none, 0) for row, none in zip(own, empty)], 0.6,
              empty, color=OURS, label="the classifier")
    for place, row in zip(places, own):
        axis.annotate(f" {row['ns_per_packet']:.0f}", (row["ns_per_packet"], place), va="center",
                      fontsize=9)
    peers = [(none + row["peer_value"], place) for row, none, place in zip(own, empty, places)
             if "peer_value" in row]
    if peers:
        axis.plot(*zip(*peers), "|", color=PEER, markersize=14, markeredgewidth=2.5,
                  label=next(row["peer"] for row in own if "peer" in row))
    axis.set_yticks(places, names)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", visible=True)
    axis.set_xlabel("ns per packet, hot")
    axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.3, 1), ncols=3)
    return figure


def latency(plot, rows):
    """Percentiles of the added latency, by load."""
    keys = (("p50_us", "p50"), ("p90_us", "p90"), ("p99_us", "p99"), ("p999_us", "p99.9"),
            ("max_us", "max"))
    own = [row for row in rows.get("latency", ()) if row.get("size") == 64]
    if not own:
        return None
    figure, axis = plot.subplots(figsize=(5.6, 3.4))
    for row, colour in zip(own, (OURS, SECOND, IO)):
        axis.plot([name for _, name in keys], [row[key] for key, _ in keys], "o-", color=colour,
                  label=f"{row['load_percent']} % of {row['ndr_mpps']:.2f} Mpps")
    axis.set_yscale("log")
    axis.axhline(20, color=PEER, linestyle="--", linewidth=1)
    axis.annotate("wanted of p99 at 50 %", (0, 20), textcoords="offset points", xytext=(0, 4),
                  fontsize=8)
    axis.set_xlabel("share of packets")
    axis.set_ylabel("added latency, \u00b5s")
    axis.legend()
    return figure


FIGURES = {"cycles": cycles, "tunnels": tunnels, "trie": trie, "classifier": classifier,
           "latency": latency}


def draw(rows, folder):
    """Draws what the rows have data for; returns the names of the files."""
    plot, by_bench, written = _plot(), table.by_bench(rows), []
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in FIGURES.items():
        figure = function(plot, by_bench)
        if figure is None:
            continue
        figure.tight_layout()
        # No date and no random names: the same figures are the same file.
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plot.close(figure)
        written.append(f"{name}.svg")
    return written


# ---- docs/performance.md ------------------------------------------------------------------------


def _machine(facts):
    versions = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
    return (f"{facts['cpu']} ({facts['virtual']}), {facts['cpus']} CPUs, kernel "
            f"{facts['kernel']}, {facts['hugepages']} hugepages; {versions}. Revision "
            f"{facts['revision']}, {facts['began'][:10]}; in {facts['seconds']:.0f} s the host "
            f"took {facts['stolen_ms']} ms away.")


def fill_in(path, result):
    """Puts the rows into the page, between `<!-- rows: BENCH -->` or `<!-- machine -->` and
    `<!-- end -->`. What was not measured stays as it is."""
    tables = {f"rows: {bench}": table.markdown(rows)
              for bench, rows in table.by_bench(result["rows"]).items()}
    tables["machine"] = _machine(result["machine"])

    def replaced(match):
        new = tables.get(match[1])
        return match[0] if new is None else f"<!-- {match[1]} -->\n{new}\n<!-- end -->"
    text = re.sub(r"<!-- (rows: [\w]+|machine) -->\n.*?<!-- end -->", replaced, path.read_text(),
                  flags=re.S)
    path.write_text(text)
