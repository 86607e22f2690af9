# SPDX-License-Identifier: BSD-2-Clause
"""Runs the parts of the suite, one after the other, and takes only measurements that are some."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import threading
import time
import types

import rows as rowlib
import topology

# A program that takes so many times as long as usual hangs: a slow machine is no reason to wait
# for an hour. A shared one takes twice as long.
PATIENCE, PATIENCE_MIN_S = 10, 120
# What a module meets when namespaces, nodes or programs do not do what they must.
LAB_FAILURES = (topology.LabError, topology.CliError, OSError, ValueError, KeyError,
                subprocess.SubprocessError)
LAST_WORDS = 12  # lines of stderr that are shown when a program failed


@dataclasses.dataclass
class Context:
    """What a measuring module gets."""

    build: pathlib.Path
    quick: bool
    note: object  # a function that takes a short text: what is being done


def _kill(process):
    """The program and all that it has started; it is a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process):
    """Ends a program; it may clean up, but not for long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
    _kill(process)
    process.wait()


def run_program(path, arguments, timeout_s, note):
    """Yields the lines that the program prints; raises Broken unless it comes to a good end."""
    try:
        process = subprocess.Popen([str(path), *arguments], text=True, errors="replace",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        raise rowlib.Broken(f"{path.name}: cannot be started: {error.strerror}") from None
    said, late = [], threading.Event()

    def listen():
        for line in process.stderr:
            if line.strip():
                said.append(line.rstrip())
                note(line.strip())

    def give_up():
        late.set()
        _kill(process)

    listener = threading.Thread(target=listen, daemon=True)
    alarm = threading.Timer(timeout_s, give_up)
    listener.start()
    alarm.start()
    try:
        yield from process.stdout
        status = process.wait()
    finally:
        alarm.cancel()
        _end(process)
        listener.join()
        process.stdout.close()
        process.stderr.close()
    if late.is_set():
        raise rowlib.Broken(f"{path.name}: did not end within {timeout_s:.0f} s")
    if status != 0:
        ended = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
        last = "\n".join(f"    {line}" for line in said[-LAST_WORDS:])
        raise rowlib.Broken(f"{path.name}: {ended}" + (f", having said\n{last}" if last else ""))


def run_part(part, context):
    """All rows of one part. Raises Broken."""
    rows = []
    if isinstance(part.what, types.ModuleType):
        try:
            for row in part.what.measure(context):
                rowlib.check(row, part.name)
                rows.append(row)
        except LAB_FAILURES as error:
            raise rowlib.Broken(f"{part.name}: {error}") from error
    else:
        timeout_s = max(PATIENCE_MIN_S, PATIENCE * part.expected_s(context.quick))
        for line in run_program(context.build / "perf" / part.what, part.arguments(context.quick),
                                timeout_s, context.note):
            rows.append(rowlib.parse(line, part.name))
            context.note(rowlib.label(rows[-1]))
    rowlib.check_set(rows, part.benches, part.name)
    return rows


def run(parts, build, quick, progress):
    """Returns (rows, sentences on what broke)."""
    rows, broken = [], []
    total_s, began = sum(part.expected_s(quick) for part in parts), time.monotonic()
    for number, part in enumerate(parts, 1):
        title = (f"{', '.join(part.benches)}: {number} of {len(parts)}, about "
                 f"{part.expected_s(quick)} s, {time.monotonic() - began:.0f} of about "
                 f"{total_s} s are over")
        with progress.step(title) as step:
            def note(text, step=step):
                step.note = text[:60]
            try:
                found = run_part(part, Context(pathlib.Path(build), quick, note))
                rows += found
                step.note = f"{len(found)} rows"
            except rowlib.Broken as error:
                broken.append(str(error))
                step.bad, step.note = True, "broken"
        if step.bad:
            progress.line(broken[-1])
    return rows, broken
