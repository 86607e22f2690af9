# SPDX-License-Identifier: BSD-2-Clause
"""Live progress: a line to a step, with a spinner on a terminal."""

import itertools
import threading
import time


class Progress:
    def __init__(self, out):
        self.out = out
        self.live = out.isatty()

    def line(self, text):
        print(text, file=self.out, flush=True)

    def step(self, text):
        return Step(self, text)


class Step:
    """`with progress.step("building") as step:`; step.note shows how far it is, and after the end
    what came out of it; step.bad that it went wrong without an exception."""

    def __init__(self, progress, text):
        self.progress, self.text, self.note = progress, text, ""
        self.bad = False
        self.done = threading.Event()

    def __enter__(self):
        self.started = time.monotonic()
        if self.progress.live:
            self.thread = threading.Thread(target=self._spin, daemon=True)
            self.thread.start()
        else:
            self.progress.line(f"... {self.text}")
        return self

    def _spin(self):
        for mark in itertools.cycle("|/-\\"):
            self._show(f"  {mark}  {self.text} {self.note}")
            if self.done.wait(0.15):
                return

    def _show(self, text):
        self.progress.out.write(f"\r\033[K{text[:110]}")
        self.progress.out.flush()

    def __exit__(self, kind, *_):
        self.done.set()
        took = f"{time.monotonic() - self.started:.1f} s"
        if self.progress.live:
            self.thread.join()
            self._show("")
        mark = "BAD" if self.bad or kind else "ok "
        self.progress.line(f"{mark} {self.text}{': ' if self.note else ''}{self.note} ({took})")
