# SPDX-License-Identifier: BSD-2-Clause
"""Rows: what a benchmark prints, one JSON object to a line, and when it is no measurement."""

import json
import math

# Of these every value that a working measurement can give is above zero.
POSITIVE = {"size", "tunnels", "workers", "cycles_per_packet", "mpps", "inner_gbps",
            "floor_cycles", "peer_value", "ratio", "ns_per_packet", "ns_per_lookup",
            "bulk_ns_per_lookup", "p50_us", "p90_us", "p99_us", "gbps_with", "gbps_without",
            "ndr_mpps", "prefixes"}
TEXT = {"bench", "provider", "peer"}


class Broken(Exception):
    """A measurement that went wrong; the text says which and how. A slow one is none."""


def _refuse_constant(word):
    raise ValueError(f"{word} is no measured value")


def parse(line, origin):
    """One line of a benchmark's output as a row."""
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Broken(f"{origin}: printed what is no JSON object: {line.strip()[:200]!r} "
                     f"({error})") from None
    check(row, origin)
    return row


def check(row, origin):
    """Raises Broken unless the row is one."""
    if not isinstance(row, dict) or not isinstance(row.get("bench"), str):
        raise Broken(f"{origin}: a row must be an object with \"bench\": {row!r:.200}")
    where = f"{origin}: {label(row)}"
    for key, value in row.items():
        for part in value.values() if isinstance(value, dict) else (value,):
            if isinstance(part, float) and not math.isfinite(part):
                raise Broken(f"{where}: \"{key}\" is {part}")
        if key in TEXT and not (isinstance(value, str) and value):
            raise Broken(f"{where}: \"{key}\" must be a word, is {value!r}")
        if key in POSITIVE and not (key == "size" and value == "imix") and not (
                isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0):
            raise Broken(f"{where}: \"{key}\" must be above 0, is {value!r}")
        if key == "lost" and not (isinstance(value, int) and value >= 0):
            raise Broken(f"{where}: \"lost\" must be a count of packets, is {value!r}")
    if not any(isinstance(value, (int, float)) and not isinstance(value, bool)
               for key, value in row.items()
               if key not in ("size", "tunnels", "workers", "prefixes")):
        raise Broken(f"{where}: nothing was measured")


def check_set(rows, wanted, origin):
    """Every benchmark that a program stands for must be among its rows, and no other."""
    seen = {row["bench"] for row in rows}
    missing, foreign = sorted(set(wanted) - seen), sorted(seen - set(wanted))
    if missing:
        raise Broken(f"{origin}: printed no row of {', '.join(missing)}")
    if foreign:
        raise Broken(f"{origin}: printed rows of {', '.join(foreign)}, which are not its own")


def label(row):
    """A row's name for people: what tells it from the others of its benchmark."""
    words = [row["bench"]]
    for key, text in (("mode", "{}"), ("verdict", "{}"), ("case", "{}"), ("table", "{}"),
                      ("direction", "{}"), ("prefixes", "{} prefixes"), ("destinations", "{}"),
                      ("size", "{} bytes"), ("provider", "{}"), ("tunnels", "{} tunnels"),
                      ("workers", "{} workers"), ("load_percent", "{} % load")):
        if key in row:
            words.append(text.format(row[key]))
    return " ".join(map(str, words))
