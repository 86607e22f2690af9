# SPDX-License-Identifier: BSD-2-Clause
"""Rows as tables, one for each benchmark: for a terminal and for the documentation."""

# Fields of rows, in the order of their columns, and their headings. What a benchmark has beside
# these comes behind them under its own name.
COLUMNS = {
    "mode": "mode", "verdict": "verdict", "case": "case", "hot": "hot", "direction": "direction",
    "size": "bytes", "table": "table", "prefixes": "prefixes", "destinations": "destinations",
    "provider": "provider",
    "key_bits": "key bits", "tunnels": "tunnels", "workers": "workers",
    "load_percent": "load %", "cycles_per_packet": "cycles/packet", "floor_cycles": "floor",
    "over_floor": "over floor", "mpps": "Mpps", "inner_gbps": "Gbit/s inner",
    "ns_per_packet": "ns/packet", "empty_ns": "empty ns", "net_ns": "net ns",
    "ns_per_lookup": "ns/lookup", "bulk_ns_per_lookup": "ns/lookup bulk",
    "p50_us": "p50 us", "p90_us": "p90 us", "p99_us": "p99 us", "p999_us": "p99.9 us",
    "max_us": "max us", "peer": "peer", "peer_value": "peer's", "ratio": "ratio", "lost": "lost",
}
LAST = ("target", "met")


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:.0f}"
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"
    return str(value)


def grid(rows):
    """(headings, lines of texts) of the rows of one benchmark."""
    own = list(dict.fromkeys(key for row in rows for key in row))
    fields = [key for key in COLUMNS if key in own]
    fields += [key for key in own if key not in COLUMNS and key not in LAST and key != "bench"]
    headings = [COLUMNS.get(key, key.replace("_", " ")) for key in fields]
    judged = any("target" in row for row in rows)
    lines = [[_text(row.get(key)) for key in fields] for row in rows]
    if judged:
        headings.append("target")
        for row, line in zip(rows, lines):
            mark = "ok " if row.get("met") else "MISSED "
            line.append(mark + row["target"] if "target" in row else "")
    return headings, lines


def by_bench(rows):
    """{bench: its rows}, in the order of their first row."""
    found = {}
    for row in rows:
        found.setdefault(row["bench"], []).append(row)
    return found


def terminal(rows, out):
    for bench, own in by_bench(rows).items():
        headings, lines = grid(own)
        widths = [max(map(len, column)) for column in zip(headings, *lines)]
        print(f"\n{bench}", file=out)
        for line in [headings, *lines]:
            print("  " + "  ".join(f"{text:{width}}" for text, width in zip(line, widths)).rstrip(),
                  file=out)


def markdown(rows):
    """The rows of one benchmark."""
    headings, lines = grid(rows)
    body = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in body)


def verdict(rows):
    """One line on all targets."""
    judged = [row for row in rows if "target" in row]
    missed = sum(not row["met"] for row in judged)
    return f"{len(judged) - missed} of {len(judged)} targets met"
