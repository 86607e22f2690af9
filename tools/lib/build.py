# SPDX-License-Identifier: BSD-2-Clause
"""Configures and builds a build folder, with progress."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class BuildError(Exception):
    pass


def configure(progress, name, options=(), compiler="gcc"):
    """Makes ROOT/name a build folder if it is none yet; returns its path."""
    folder = ROOT / name
    if not (folder / "build.ninja").exists():
        with progress.step(f"configuring {name}") as step:
            _run(["/usr/bin/meson", "setup", folder, ROOT, *options], step,
                 {**os.environ, "CC": compiler})
    return folder


def build(progress, name, targets=()):
    """Builds a configured folder, or some of its targets; what it printed is only shown when it
    fails."""
    with progress.step(f"building {name}") as step:
        _run(["/usr/bin/ninja", "-C", ROOT / name, *targets], step)
        step.note = ""


def _run(command, step, environment=None):
    lines = []
    process = subprocess.Popen([str(word) for word in command], text=True, env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        for line in process.stdout:
            lines.append(line)
            at = re.match(r"\[(\d+/\d+)\]", line)
            if at:
                step.note = at[1]
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.wait() != 0:
        raise BuildError(f"{' '.join(map(str, command))} failed:\n{''.join(lines[-200:])}")
