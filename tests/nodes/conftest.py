# SPDX-License-Identifier: BSD-2-Clause
"""The `lab` fixture: a Lab for one test, taken away afterwards, with the nodes' logs when the test
failed. SPW_BUILD_DIR names the build that is tested."""

import contextlib
import os
import pathlib
import sys

import pytest
import topology

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/lib"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed and call.when != "teardown":
        item.failed = item.parent.failed = True


@contextlib.contextmanager
def _lab(owner):
    if os.geteuid() != 0:
        pytest.skip("namespaces and BPF need root")
    owner.failed = False
    with topology.Lab("spw-test") as made:
        yield made
        if owner.failed:
            print(made.report())
        forced = made.close()
    assert not forced, forced


@pytest.fixture
def lab(request):
    with _lab(request.node) as made:
        yield made


@pytest.fixture(scope="session")
def open_lab():
    """For what several tests share: `with open_lab(request.node) as lab:` in a fixture of module
    scope."""
    return _lab
