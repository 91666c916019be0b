"""The stored layout of sessions is the one of the pinned exchange-calendars.

`python -m turbomode_assets_tests.sessions.test_layout` stores it anew.
"""

import datetime as dt
import subprocess
import sys

import polars as pl
from polars.testing import assert_frame_equal

from turbomode_assets.sessions.layout import STORED, laid_out, store_layout, xnys_layout

HALF_DAY = dt.date(2017, 11, 24)


def test_what_is_stored_is_what_the_library_lays_out():
    assert_frame_equal(pl.read_parquet(STORED), laid_out())
    assert_frame_equal(xnys_layout(), laid_out())


def test_a_half_day_closes_at_one_in_new_york():
    row = xnys_layout().filter(pl.col("session") == HALF_DAY)
    utc = dt.UTC
    assert row.row(0) == (
        HALF_DAY,
        dt.datetime(2017, 11, 24, 14, 30, tzinfo=utc),
        dt.datetime(2017, 11, 24, 18, 0, tzinfo=utc),
    )


def test_a_layout_of_another_version_is_not_believed(tmp_path):
    other = tmp_path / "xnys.parquet"
    wrong = laid_out().head(3)
    wrong.write_parquet(other, metadata={"exchange_calendars": "1.0"})
    assert_frame_equal(xnys_layout(other), laid_out())
    store_layout(other)
    assert_frame_equal(xnys_layout(other), laid_out())
    # One that names the installed version and the same days is read, not laid out.
    named = pl.read_parquet_metadata(other)
    wrong.write_parquet(other, metadata={name: named[name] for name in named if ":" not in name})
    assert_frame_equal(xnys_layout(other), wrong)


def test_asking_for_a_session_loads_neither_the_library_nor_pandas():
    code = (
        "import datetime as dt, sys; from turbomode_assets.sessions import last_closed_session;"
        "last_closed_session(dt.datetime(2017, 11, 24, 18, 0, tzinfo=dt.UTC));"
        "print({'pandas', 'exchange_calendars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


if __name__ == "__main__":
    store_layout()
