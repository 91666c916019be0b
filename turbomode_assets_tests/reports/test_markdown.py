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
    return pl.DataFrame(
        [(name, session, signal, s, h, b, vendor) for name, signal, s, h, b in rows],
        schema=["symbol", "session", "signal", "p_sell", "p_hold", "p_buy", "vendor"],
        orient="row",
    )


def test_signals_come_surest_first_and_holds_are_counted():
    table = signal_table(
        predictions(
            [
                ("AAPL", "BUY", 0.2, 0.3, 0.5),
                ("KO", "HOLD", 0.3, 0.4, 0.3),
                ("MSFT", "BUY", 0.1, 0.2, 0.7),
                ("XOM", "SELL", 0.6, 0.3, 0.1),
            ]
        )
    )
    assert table == (
        "**2024-07-03**: 2 BUY, 1 SELL, 1 HOLD (vendor=simulated)\n\n"
        "| symbol | signal | p_sell | p_hold | p_buy |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| MSFT | BUY | 0.1 | 0.2 | 0.7 |\n"
        "| AAPL | BUY | 0.2 | 0.3 | 0.5 |\n"
        "| XOM | SELL | 0.6 | 0.3 | 0.1 |"
    )


def test_only_the_last_session_is_listed():
    earlier = predictions([("PAST", "BUY", 0.1, 0.2, 0.7)], dt.date(2024, 7, 2))
    later = predictions([("NEW", "BUY", 0.1, 0.2, 0.7)])
    table = signal_table(pl.concat([later, earlier]))
    assert "NEW" in table
    assert "PAST" not in table


def test_a_quiet_session_says_so_in_one_line():
    quiet = predictions([("KO", "HOLD", 0.3, 0.4, 0.3)], vendor="archive")
    assert signal_table(quiet) == "**2024-07-03**: 0 BUY, 0 SELL, 1 HOLD (vendor=archive)"


def test_no_predictions_say_so():
    assert signal_table(predictions([("KO", "HOLD", 0.3, 0.4, 0.3)]).clear()) == "no predictions"


def test_a_long_list_is_cut_and_counted():
    many = predictions([(f"S{i:02d}", "BUY", 0.1, 0.2, 0.7) for i in range(40)])
    table = signal_table(many, rows=3)
    assert table.count("| BUY |") == 3
    assert table.endswith("... 37 more")
