import datetime as dt

import polars as pl

from turbomode_assets.curation import with_sectors

MAY, JUNE, JULY, AUGUST = (dt.date(2018, month, 1) for month in (5, 6, 7, 8))
MAPPINGS = pl.DataFrame(
    {
        "symbol": ["T", "T", "X"],
        "valid_from": [JUNE, JULY, JUNE],
        "valid_to": [dt.date(2018, 6, 30), None, dt.date(2018, 6, 15)],
        "sector": ["Telecommunication Services", "Communication Services", "Energy"],
        "vocabulary": ["GICS", "GICS", "GICS"],
    }
)


def test_the_sector_is_the_one_mapped_on_that_session():
    bars = pl.DataFrame(
        {
            "symbol": ["T"] * 4 + ["X"] * 2 + ["Z"],
            "session": [MAY, JUNE, JULY, AUGUST, JUNE, JULY, MAY],
        }
    )
    assert with_sectors(bars, MAPPINGS).get_column("sector").to_list() == [
        "Telecommunication Services",
        "Telecommunication Services",
        "Communication Services",
        "Communication Services",
        "Energy",
        None,
        None,
    ]


def test_without_mappings_every_sector_is_unknown():
    bars = pl.DataFrame({"symbol": ["T"], "session": [MAY]})
    assert with_sectors(bars, MAPPINGS.clear()).get_column("sector").to_list() == [None]


def test_sectors_of_other_vocabularies_are_passed_over():
    bars = pl.DataFrame({"symbol": ["X"], "session": [JUNE]})
    other = MAPPINGS.with_columns(vocabulary=pl.lit("Yahoo"), sector=pl.lit("Utilities"))
    both = pl.concat([MAPPINGS, other])
    assert with_sectors(bars, both).get_column("sector").to_list() == ["Energy"]
