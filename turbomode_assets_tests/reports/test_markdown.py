import datetime as dt

import polars as pl
import pytest

from turbomode_assets.reports import preview_markdown, signal_table


def test_a_small_frame_is_shown_whole():
    frame = pl.DataFrame(
        {"symbol": ["AAPL", None], "session": [dt.date(2024, 7, 3)] * 2, "close": [189.25178, None]}
    )
    assert preview_markdown(frame) == (
        "| symbol | session | close |\n"
        "| --- | --- | ---: |\n"
        "| AAPL | 2024-07-03 | 189.3 |\n"
        "| null | 2024-07-03 | null |"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0001234567, "0.0001235"),
        (1234.5678, "1235"),
        (81_234_567.8, "81,234,568"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (1e20, "1e+20"),
        (float("nan"), "NaN"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_keep_four_significant_digits(value, shown):
    assert preview_markdown(pl.DataFrame({"x": [value]})).endswith(f"| {shown} |")


def test_what_is_left_out_is_counted():
    wide = pl.DataFrame({f"f{i}": range(1200) for i in range(181)})
    preview = preview_markdown(wide, rows=2)
    assert preview.splitlines()[0] == "| f0 | f1 | f2 | f3 | f4 | f5 | f6 | f7 | f8 |"
    assert preview.splitlines()[-1] == "... 1,198 more rows, 172 more columns"
    assert len(preview.splitlines()) == 6


def test_a_frame_without_rows_shows_its_columns():
    frame = pl.DataFrame(schema={"symbol": pl.String, "close": pl.Float64})
    assert preview_markdown(frame) == "| symbol | close |\n| --- | ---: |"


def test_a_bar_in_a_value_does_not_break_the_table():
    assert "a\\|b c" in preview_markdown(pl.DataFrame({"x": ["a|b\nc"]}))


def predictions(rows, session=dt.date(2024, 7, 3), vendor="simulated"):
    """Signals of (symbol, signal, rank, confidence), all alike in what is traded on them."""
    ends = {"entry_price_estimate": 100.0, "profit_take_price": 104.0, "stop_loss_price": 97.5}
    return pl.DataFrame(
        {"symbol": symbol, "signal": signal, "rank": rank, "confidence": confidence}
        for symbol, signal, rank, confidence in rows
    ).with_columns(
        session=pl.lit(session),
        vendor=pl.lit(vendor),
        entry_session=pl.lit(dt.date(2024, 7, 5)),
        expiry_session=pl.lit(dt.date(2024, 7, 25)),
        **{name: pl.lit(value) for name, value in ends.items()},
    )


def test_signals_come_by_rank_and_holds_are_counted():
    table = signal_table(
        predictions(
            [
                ("AAPL", "BUY", 3, 0.5),
                ("KO", "HOLD", None, 0.4),
                ("MSFT", "BUY", 1, 0.7),
                ("XOM", "SELL", 2, 0.6),
            ]
        )
    )
    terms = "2024-07-05 | 100 | 104 | 97.5 | 2024-07-25 |"
    assert table == (
        "**2024-07-03**: 2 BUY, 1 SELL, 1 HOLD (vendor=simulated)\n\n"
        "| rank | symbol | signal | confidence | entry_session | entry_price_estimate "
        "| profit_take_price | stop_loss_price | expiry_session |\n"
        "| ---: | --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n"
        f"| 1 | MSFT | BUY | 0.7 | {terms}\n"
        f"| 2 | XOM | SELL | 0.6 | {terms}\n"
        f"| 3 | AAPL | BUY | 0.5 | {terms}"
    )


def test_only_the_last_session_is_listed():
    earlier = predictions([("PAST", "BUY", 1, 0.7)], dt.date(2024, 7, 2))
    later = predictions([("NEW", "BUY", 1, 0.7)])
    table = signal_table(pl.concat([later, earlier]))
    assert "NEW" in table
    assert "PAST" not in table


def test_a_quiet_session_says_so_in_one_line():
    quiet = predictions([("KO", "HOLD", None, 0.4)], vendor="archive")
    assert signal_table(quiet) == "**2024-07-03**: 0 BUY, 0 SELL, 1 HOLD (vendor=archive)"


def test_no_predictions_say_so():
    assert signal_table(predictions([("KO", "HOLD", None, 0.4)]).clear()) == "no predictions"


def test_a_long_list_is_cut_and_counted():
    many = predictions([(f"S{i:02d}", "BUY", i, 0.7) for i in range(40)])
    table = signal_table(many, rows=3)
    assert table.count("| BUY |") == 3
    assert table.endswith("... 37 more")
