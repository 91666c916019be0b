import datetime as dt

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.ordering import has_ties, sort_rows

KEY = ("symbol", "session")
DAY = dt.date(2024, 7, 1)

symbols = st.sampled_from(["AAA", "B", "BB", "ZZZ", None])
sessions = st.none() | st.integers(0, 6).map(lambda days: DAY + dt.timedelta(days))


def frame_of(keys, width=19):
    keys = pl.DataFrame(keys, schema={"symbol": pl.String, "session": pl.Date}, orient="row")
    place = pl.int_range(pl.len()).cast(pl.Float32)
    return keys.with_columns((place + 100 * i).alias(f"f{i}") for i in range(width))


@given(st.lists(st.tuples(symbols, sessions), max_size=40))
def test_rows_are_sorted_as_polars_sorts_them_with_ties_and_nulls(keys):
    frame = frame_of(keys)
    result = sort_rows(frame, KEY)
    assert result.select(KEY).equals(frame.select(KEY).sort(KEY))
    assert result.sort("f0").equals(frame)


@given(st.sets(st.tuples(symbols.filter(bool), sessions.filter(bool)), max_size=30), st.data())
def test_runs_of_symbols_in_any_order_of_blocks_are_merged(keys, data):
    cut = data.draw(st.dates(DAY, DAY + dt.timedelta(6)))
    early = sorted(key for key in keys if key[1] < cut)
    late = sorted(key for key in keys if key[1] >= cut)
    for blocks in (early + late, late + early):
        frame = frame_of(blocks)
        assert sort_rows(frame, KEY).equals(frame.sort(KEY))


def test_frames_of_many_chunks_are_sorted_alike():
    blocks = [frame_of([("BB", DAY)] * 2), frame_of([("AAA", DAY)] * 3), frame_of([("B", DAY)])]
    assert sort_rows(pl.concat(blocks), KEY)["symbol"].to_list() == [*["AAA"] * 3, "B", "BB", "BB"]


def test_a_frame_in_order_comes_back_as_it_is():
    frame = frame_of([("AAA", DAY), ("AAA", DAY), ("B", DAY)])
    assert sort_rows(frame, KEY) is frame
    assert sort_rows(frame, ()) is frame


def test_neighbours_tie_only_where_every_key_agrees():
    later = DAY + dt.timedelta(1)
    assert has_ties(frame_of([("AAA", DAY), ("AAA", DAY)]), KEY)
    assert not has_ties(frame_of([("AAA", DAY), ("AAA", later), ("B", later)]), KEY)
    assert not has_ties(frame_of([("AAA", DAY)]), KEY)
    assert not has_ties(frame_of([]), KEY)
