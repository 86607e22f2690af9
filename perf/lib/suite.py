# SPDX-License-Identifier: BSD-2-Clause
"""Every benchmark there is, in the order in which they run."""

import dataclasses
import types

import afxdp
import idle
import latency
import storm


@dataclasses.dataclass
class Part:
    """One program, or one of the modules beside this file, and the benchmarks that it stands for.

    A program lies in the build folder's perf/ and prints rows; a module has measure(lab), which
    yields them. Both have a quick way, which measures less often and not every size.
    """

    what: object           # a program's name, or a module
    benches: tuple
    quick_s: int           # how long it takes, to show how far a run is
    full_s: int
    words: tuple = ()      # further arguments of a program
    quick_words: tuple = ()

    @property
    def name(self):
        return (self.what.__name__ if isinstance(self.what, types.ModuleType) else
                " ".join((self.what, *self.words)))

    def expected_s(self, quick):
        return self.quick_s if quick else self.full_s

    def arguments(self, quick):
        return [*self.words, *(("--quick", *self.quick_words) if quick else ())]


PIPELINE = ("encap", "decap", "hop", "gateway")
PARTS = (
    Part("spw-bench-aead", ("aead",), 4, 40),
    Part("spw-bench-pipeline", PIPELINE, 10, 45, ("--provider", "ipsec-mb")),
    # The slower provider, in a hurry, at one size and one number of tunnels.
    Part("spw-bench-pipeline", PIPELINE, 1, 45, ("--provider", "openssl"),
         ("--size", "64", "--tunnels", "64")),
    Part("spw-bench-pipeline", ("relay",), 1, 6, ("--only", "relay")),
    Part("spw-bench-workers", ("workers",), 7, 40),
    Part("spw-bench-trie", ("trie",), 19, 60),
    Part("spw-bench-classifier", ("classifier", "owner_tcp"), 7, 30),
    Part(afxdp, ("afxdp",), 12, 170),
    Part(storm, ("storm",), 17, 65),
    Part(latency, ("latency",), 11, 100),
    Part(idle, ("idle",), 11, 105),
)


def names():
    return sorted({bench for part in PARTS for bench in part.benches})


def chosen(only):
    """The parts that measure these benchmarks; all of them where none is named."""
    return [part for part in PARTS if not only or set(part.benches) & set(only)]
