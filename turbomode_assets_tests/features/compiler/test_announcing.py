"""The message while feature kernels are compiled."""

import logging
import os
import subprocess
import sys

import pytest
from numba import njit

from turbomode_assets.features.compiler.announcing import MESSAGE, report_compiling
from turbomode_assets_tests.builders import REPOSITORY

WARM_UP = "from turbomode_assets.features import warm_up; warm_up()"
COMPUTE = """
from numba.core import event

class Compiled(event.Listener):
    def on_start(self, event):
        print("compiled", event.data["dispatcher"])

    def on_end(self, event):
        pass

event.register("numba:compile", Compiled())
from turbomode_assets.features import compute_features
from turbomode_assets_tests.features.panels import panel, sessions

holes = panel(20, 400, missing=0.02, null_volume=0.01, sectors=3)
for bars, since in ((holes, None), (holes, sessions(400)[-1]), (panel(3, 300), None)):
    compute_features(bars, benchmark="S000", device="cpu", since=since)
print("done")
"""


def test_a_function_that_is_compiled_is_reported_once_for_each_type(caplog):
    one_more = njit(lambda number: number + 1)
    report_compiling(one_more)
    with caplog.at_level(logging.WARNING):
        assert (one_more(1), one_more(2)) == (2, 3)
        assert [record.message for record in caplog.records] == [MESSAGE]
        assert one_more(1.5) == 2.5
    assert len(caplog.records) == 2


def test_other_functions_are_compiled_without_a_word(caplog):
    reported, other = njit(lambda number: number), njit(lambda number: -number)
    report_compiling(reported)
    with caplog.at_level(logging.WARNING):
        assert other(1) == -1
    assert not caplog.records


@pytest.mark.slow
def test_after_the_warm_up_no_panel_compiles_anything(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def run(code):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
            env=environment,
        )

    first = run(WARM_UP)
    assert first.stderr.splitlines() == [MESSAGE]
    assert not first.stdout
    assert not run(WARM_UP).stderr
    computed = run(COMPUTE)
    assert computed.stdout == "done\n"
    assert not computed.stderr
