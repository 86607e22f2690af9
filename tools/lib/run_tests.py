# SPDX-License-Identifier: BSD-2-Clause
"""The test runner: sanitizer build, meson's tests, whole nodes, fuzzers; one line adds them up."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree

import build
from progress import Progress

ROOT = build.ROOT
NODES_SECONDS_MAX = 900
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


class Totals:
    def __init__(self, progress):
        self.progress = progress
        self.passed = self.failed = self.skipped = 0

    def add(self, name, passed, failed, skipped=0, log=""):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        parts = [f"{number} {word}" for number, word in
                 ((passed, "passed"), (failed, "failed"), (skipped, "skipped")) if number]
        if failed or skipped:
            self.progress.line(log.rstrip()[-8000:])
        self.progress.line(f"{'BAD' if failed else 'ok '} {name}: {', '.join(parts) or 'nothing'}")


def watched(command, step, pattern, timeout_s=None, **variables):
    """Runs a command with the sanitizers' settings, and shows what the pattern finds in its
    output. Returns its exit status and the output; after timeout_s it is interrupted."""
    lines = []
    process = subprocess.Popen([str(word) for word in command], text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT,
                               env={**os.environ, **SANITIZERS, **variables})
    alarm = threading.Timer(timeout_s, process.send_signal, [signal.SIGINT]) if timeout_s else None
    if alarm:
        alarm.start()
    for line in process.stdout:
        lines.append(line)
        found = re.search(pattern, line)
        step.note = found[1] if found else step.note
    status = process.wait()
    if alarm:
        alarm.cancel()
    step.note = ""
    return status, "".join(lines)


def counted(test):
    """(passed, failed, skipped) of one of meson's tests: what it says of its own cases (cmocka,
    unittest, pytest), else one. A program that failed has at least one failure, whatever it says.
    """
    text = test.get("stdout", "") + test.get("stderr", "")
    if test["result"] == "SKIP":
        return 0, 0, 1
    passed = sum(map(int, re.findall(r"^\[  PASSED  \] (\d+) test", text, re.M)))
    failed = sum(map(int, re.findall(r"^\[  FAILED  \] (?:.*: )?(\d+) test", text, re.M)))
    skipped = sum(map(int, re.findall(r"^\[  SKIPPED \] (?:.*: )?(\d+) test", text, re.M)))
    if not passed and not failed:
        ran = re.search(r"^Ran (\d+) tests? in", text, re.M)
        summary = re.search(r"^=*\s*(?:(\d+) failed,? ?)?(?:(\d+) passed)?.* in [\d.]+s", text,
                            re.M)
        if ran:
            failed = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", text)))
            passed = int(ran[1]) - failed
        elif summary and (summary[1] or summary[2]):
            failed, passed = int(summary[1] or 0), int(summary[2] or 0)
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    if good:
        return max(passed, 1), failed, skipped
    return passed, max(failed, 1), skipped


def introspect(folder, what):
    done = subprocess.run(["/usr/bin/meson", "introspect", f"--{what}", folder], text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def meson_tests(progress, totals, folder, tests):
    """Runs some of the tests of a build folder."""
    names = sorted({test["name"] for test in tests})  # two suites may use the same one
    if not names:
        return
    log = folder / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    with progress.step(f"{len(tests)} test programs of {folder.name}") as step:
        watched(["/usr/bin/meson", "test", "-C", folder, "--no-rebuild", "-t", "3", *names],
                step, r"^ *(\d+/\d+)")
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for result in results:
        totals.add(result["name"], *counted(result),
                   log=result.get("stdout", "") + result.get("stderr", ""))
    if len(results) < len(tests):
        totals.add("test programs that did not run", 0, len(tests) - len(results))


def node_tests(progress, totals, folder, pattern):
    if not list((ROOT / "tests/nodes").glob("test_*.py")):
        return
    junit = folder / "meson-logs/nodes.xml"
    junit.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q",
               f"--junitxml={junit}", str(ROOT / "tests/nodes")]
    if pattern:
        command += ["-k", pattern]
    with progress.step("whole nodes in namespaces") as step:
        status, log = watched(command, step, r"\[ *(\d+%)\]", NODES_SECONDS_MAX,
                              SPW_BUILD_DIR=str(folder))
    if status == 5:  # no test matches the pattern
        return
    if not junit.exists():
        totals.add("whole nodes", 0, 1, log=log)
        return
    suite = xml.etree.ElementTree.parse(junit).getroot().find("testsuite")
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    skipped = int(suite.get("skipped"))
    passed = max(int(suite.get("tests")) - failed - skipped, 0)
    totals.add("whole nodes", passed, max(failed, int(status != 0)), skipped,
               log=log)


def fuzz(progress, totals, pattern):
    """The fuzzers, each for as long as its meson.build says; only they are built here."""
    # DPDK's headers are not free of clang's warnings: --werror is for the build with gcc.
    folder = build.configure(progress, "build-fuzz", [
        "-Dfuzzers=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"], "clang")
    tests = [test for test in introspect(folder, "tests")
             if any(suite.endswith("fuzz") for suite in test["suite"]) and pattern in test["name"]]
    files = {target["id"]: target["filename"] for target in introspect(folder, "targets")}
    needed = [os.path.relpath(file, folder) for test in tests for target in test["depends"]
              for file in files[target]]
    if tests:
        build.build(progress, "build-fuzz", needed)
        meson_tests(progress, totals, folder, tests)


def main():
    parser = argparse.ArgumentParser(
        prog="tools/test", description="Builds with AddressSanitizer and UBSan and runs every "
        "test: units, the classifier, whole nodes, fuzzers. Needs root for most of them.")
    parser.add_argument("pattern", nargs="?", default="",
                        help="only tests with this in their name")
    pattern = parser.parse_args().pattern
    progress = Progress(sys.stdout)
    totals = Totals(progress)
    if os.geteuid() != 0:
        progress.line("without root most tests are skipped: sudo tools/test")
    try:
        folder = build.configure(progress, "build-test",
                                 ["-Db_sanitize=address,undefined", "--werror"])
        build.build(progress, "build-test")
        meson_tests(progress, totals, folder,
                    [test for test in introspect(folder, "tests") if pattern in test["name"]])
        node_tests(progress, totals, folder, pattern)
        fuzz(progress, totals, pattern)
    except build.BuildError as error:
        totals.add("build", 0, 1, log=str(error))
    except KeyboardInterrupt:
        totals.add("interrupted", 0, 1)
    if totals.passed + totals.failed == 0:
        totals.add(f"tests named like \"{pattern}\"", 0, 1)
    if totals.skipped:
        progress.line(f"{totals.skipped} skipped")
    print(f"{totals.passed} passed, {totals.failed} failed", flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
