import datetime as dt

import polars as pl

from turbomode_assets.contracts.tables import SECTOR_MAPPINGS
from turbomode_assets.vendors import merge_metadata, merge_sector_mappings
from turbomode_assets_tests.builders import make_rows, make_universe

EARLY = dt.datetime(2018, 1, 2, 22, tzinfo=dt.UTC)
LATE = dt.datetime(2018, 9, 28, 22, tzinfo=dt.UTC)


def mappings(known_at, vocabulary="GICS", **sectors):
    rows = [{"symbol": symbol, "sector": sector} for symbol, sector in sectors.items()]
    known = {"vocabulary": vocabulary, "knowledge_ts": known_at}
    return make_rows(SECTOR_MAPPINGS, *rows, **known, valid_from=dt.date(2010, 1, 4))


def brief(frame):
    return frame.select("symbol", "sector", "valid_from", "valid_to").rows()


def test_an_unchanged_sector_keeps_its_row():
    stored = mappings(EARLY, T="Telecommunication Services")
    assert merge_sector_mappings(stored, stored, LATE).equals(stored)


def test_a_changed_sector_ends_the_old_one_the_day_before_it_became_known():
    stored = mappings(EARLY, T="Telecommunication Services", X="Energy")
    fetched = mappings(LATE, T="Communication Services", X="Energy")
    assert brief(merge_sector_mappings(stored, fetched, LATE)) == [
        ("T", "Telecommunication Services", dt.date(2010, 1, 4), dt.date(2018, 9, 27)),
        ("T", "Communication Services", dt.date(2018, 9, 28), None),
        ("X", "Energy", dt.date(2010, 1, 4), None),
    ]


def test_vocabularies_change_each_by_itself():
    stored = pl.concat(
        [mappings(EARLY, T="Communication Services"), mappings(EARLY, "Yahoo", T="Technology")]
    )
    fetched = mappings(LATE, "Yahoo", T="Communication Services")
    merged = merge_sector_mappings(stored, fetched, LATE)
    assert brief(merged.filter(pl.col("vocabulary") == "GICS")) == [
        ("T", "Communication Services", dt.date(2010, 1, 4), None)
    ]
    assert brief(merged.filter(pl.col("vocabulary") == "Yahoo")) == [
        ("T", "Technology", dt.date(2010, 1, 4), dt.date(2018, 9, 27)),
        ("T", "Communication Services", dt.date(2018, 9, 28), None),
    ]


def test_a_second_change_on_the_same_day_leaves_one_row_for_that_day():
    stored = mappings(EARLY, T="Telecommunication Services")
    once = merge_sector_mappings(stored, mappings(LATE, T="Media"), LATE)
    twice = merge_sector_mappings(once, mappings(LATE, T="Communication Services"), LATE)
    assert brief(twice)[-1] == ("T", "Communication Services", dt.date(2018, 9, 28), None)
    assert len(brief(twice)) == 2


def test_a_symbol_that_is_no_longer_offered_keeps_its_history():
    stored = mappings(EARLY, T="Telecommunication Services", X="Energy")
    merged = merge_sector_mappings(stored, mappings(LATE, X="Energy"), LATE)
    assert merged.equals(stored)


def test_a_delisting_of_a_symbol_we_followed_became_known_now():
    stored = make_universe(["AAA", "BBB"])
    fetched = stored.with_columns(
        last_session=pl.when(pl.col("symbol") == "BBB").then(pl.lit(dt.date(2018, 9, 4)))
    )
    known = dict(merge_metadata(stored, fetched, LATE).select("symbol", "knowledge_ts").iter_rows())
    assert known == {"AAA": stored.item(0, "knowledge_ts"), "BBB": LATE}


def test_a_symbol_new_to_us_keeps_the_knowledge_time_of_the_fetch():
    fetched = make_universe(["AAA", "BBB"])
    assert merge_metadata(make_universe(["AAA"]), fetched, LATE).equals(fetched)
