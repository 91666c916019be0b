"""The stored layout of sessions is the one of the pinned exchange-calendars.

`python -m turbomode_assets_tests.sessions.test_layout` stores it anew.
"""

import importlib.metadata

import numpy as np

from turbomode_assets.sessions import layout
from turbomode_assets.sessions.layout import (
    STORED,
    SessionLayout,
    laid_out,
    store_layout,
    xnys_layout,
)
from turbomode_assets_tests.processes import printed_by

RIGHT = laid_out()


def rows(given):
    return list(zip(given.sessions, given.opens, given.closes, strict=True))


def test_what_is_stored_is_what_the_library_lays_out():
    assert rows(xnys_layout()) == rows(RIGHT)
    with np.load(STORED) as stored:
        version = importlib.metadata.version("exchange_calendars")
        assert str(stored["inputs"]).startswith(f"exchange_calendars {version},")


def test_a_half_day_closes_at_one_in_new_york():
    given = {str(session): times for session, *times in rows(xnys_layout())}
    assert [str(time) for time in given["2017-11-24"]] == [
        "2017-11-24T14:30:00.000000",
        "2017-11-24T18:00:00.000000",
    ]


def test_a_layout_of_another_version_is_not_believed(tmp_path, monkeypatch):
    other, few = tmp_path / "xnys.npz", SessionLayout(*(each[:3] for each in vars(RIGHT).values()))
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda _: "1.0")
        patch.setattr(layout, "laid_out", lambda: few)
        store_layout(other)
        assert rows(xnys_layout(other)) == rows(few)
    assert rows(xnys_layout(other)) == rows(RIGHT)


def test_a_process_that_knows_the_sessions_may_be_forked():
    code = (
        "import os, polars, turbomode_assets.orchestration.partitions\n"
        "from turbomode_assets.sessions import last_closed_session\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    frame = polars.DataFrame({'a': range(100_000)}).lazy().filter(polars.col('a') > 1)\n"
        "    os._exit(0 if frame.collect().height == 99_998 else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert printed_by(code, timeout=60).strip() == "0"


def test_asking_for_a_session_loads_neither_the_library_nor_pandas():
    code = (
        "import datetime as dt, sys; from turbomode_assets.sessions import last_closed_session;"
        "last_closed_session(dt.datetime(2017, 11, 24, 18, 0, tzinfo=dt.UTC));"
        "print({'pandas', 'exchange_calendars'} & set(sys.modules))"
    )
    assert printed_by(code).strip() == "set()"


if __name__ == "__main__":
    store_layout()
