import datetime as dt
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from turbomode_assets.contracts.tables import AUDITS
from turbomode_assets.contracts.timeframes import TIMEFRAMES
from turbomode_assets.reports import (
    age_picture,
    coverage_heatmap,
    month_table_heatmap,
    reason_breakdown,
    status_lines,
)
from turbomode_assets.reports.canvas import (
    LEDGER_COLOURS,
    NOT_EXPECTED,
    rgb_of,
)
from turbomode_assets.reports.completeness import (
    GAP,
    LEAST_HEIGHT,
    LEFT,
    MAP_WIDTH,
    MOST_HEIGHT,
    STRIP,
    TOP,
    session_ticks,
)
from turbomode_assets.reports.pixels import FEW_COLOURS, SHADES, levels_of, paint, palette
from turbomode_assets.reports.table_months import LEFT as MONTHS_LEFT
from turbomode_assets.reports.table_months import MAP_WIDTH as MONTHS_WIDTH
from turbomode_assets.reports.table_months import ROW_HEIGHT
from turbomode_assets.reports.table_months import TOP as MONTHS_TOP
from turbomode_assets.reports.wording import share_text
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.builders import make_rows
from turbomode_assets_tests.completeness.ledgers import LAST, ledger
from turbomode_assets_tests.reports.builders import has_red_mark

GREEN, AMBER, RED = (rgb_of(LEDGER_COLOURS[verdict]) for verdict in ("GREEN", "AMBER", "RED"))
ABSENT = rgb_of(NOT_EXPECTED)
LARGE = 1_030, 5_040


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has_colour(picture, colour):
    return bool((picture == np.array(colour)).all(axis=-1).any())


def large_ledger(red=()):
    """Every cell GREEN but the (symbol, session) places in `red`."""
    symbols, sessions = LARGE
    days = SessionSpan(offset_session(LAST, 1 - sessions), LAST).sessions
    codes = np.zeros(LARGE, dtype=np.uint32)
    for place in red:
        codes[place] = 1
    names = pl.Series([f"S{number:04d}" for number in range(symbols)])
    return pl.DataFrame(
        {
            "symbol": names.gather(np.repeat(np.arange(symbols), sessions)),
            "session": pl.Series(days, dtype=pl.Date).gather(np.tile(np.arange(sessions), symbols)),
            "verdict": pl.Series(["GREEN", "RED"]).gather(codes.ravel()),
        }
    ).with_columns(
        timeframe=pl.lit("1d"),
        delivered_by=pl.lit("archive"),
        expected_rows=pl.lit(1, dtype=pl.Int32),
    )


def test_each_cell_has_the_colour_of_its_verdict():
    picture = pixels(coverage_heatmap(ledger({"A": "GAR.", "B": "GGGG", "C": "RGGA"})))
    row, column = LEAST_HEIGHT // 3, MAP_WIDTH // 4
    for down, letters in enumerate(("GAR.", "GGGG", "RGGA")):
        for across, letter in enumerate(letters):
            middle = picture[TOP + down * row + row // 2, LEFT + across * column + column // 2]
            expected = {"G": GREEN, "A": AMBER, "R": RED, ".": ABSENT}[letter]
            assert tuple(middle) == expected, (down, across)


def test_the_strips_show_the_worst_of_a_session_and_of_a_symbol():
    picture = pixels(coverage_heatmap(ledger({"A": "GGR", "B": "GGG", "C": "GAR"})))
    third, row = MAP_WIDTH // 3, LEAST_HEIGHT // 3
    below = picture[TOP + LEAST_HEIGHT + GAP + STRIP // 2]
    beside = picture[:, LEFT + MAP_WIDTH + GAP + STRIP // 2]
    shades = palette()
    assert tuple(below[LEFT + third // 2]) == GREEN
    assert tuple(below[LEFT + third + third // 2]) in {tuple(c) for c in shades[2 : 2 + SHADES]}
    assert tuple(below[LEFT + 2 * third + third // 2]) in {tuple(c) for c in shades[2 + SHADES :]}
    assert tuple(beside[TOP + row + row // 2]) == GREEN
    assert tuple(beside[TOP + row // 2]) in {tuple(c) for c in shades[2 + SHADES :]}


def test_one_red_cell_among_five_million_stands_out():
    symbol, session = 500, 2_500
    picture = pixels(coverage_heatmap(large_ledger([(symbol, session)])))
    area = picture[TOP : TOP + MOST_HEIGHT, LEFT : LEFT + MAP_WIDTH].astype(int)
    # Dark: every colour of RED is darker than GREEN by far, however hues are seen.
    down, across = np.nonzero(area.sum(axis=-1) < sum(GREEN) - 150)
    assert len(down) == 9
    assert down.mean() == pytest.approx(symbol * MOST_HEIGHT / LARGE[0], abs=1)
    assert across.mean() == pytest.approx(session * MAP_WIDTH / LARGE[1], abs=1)
    below = picture[TOP + MOST_HEIGHT + GAP + STRIP // 2, LEFT : LEFT + MAP_WIDTH].astype(int)
    beside = picture[TOP : TOP + MOST_HEIGHT, LEFT + MAP_WIDTH + GAP + STRIP // 2].astype(int)
    assert (below.sum(axis=-1) < sum(GREEN) - 150).sum() == 3
    assert (beside.sum(axis=-1) < sum(GREEN) - 150).sum() == 3


def test_a_red_cell_in_each_corner_is_not_cut_off():
    codes = np.ones(LARGE, dtype=np.uint8)
    codes[0, 0] = codes[0, -1] = codes[-1, 0] = codes[-1, -1] = 3
    painted = paint(codes, MOST_HEIGHT, MAP_WIDTH)
    for corner in (painted[0, 0], painted[0, -1], painted[-1, 0], painted[-1, -1]):
        assert tuple(corner) != GREEN


def test_the_shade_tells_one_bad_cell_from_all_of_them():
    codes = np.ones((4, 4), dtype=np.uint8)
    codes[0, 0] = 3
    codes[2:, 2:] = 3
    levels = levels_of(codes, 2, 2)
    # A quarter is RED: the square root is a half, the middle of the shades.
    assert levels.tolist() == [[2 + SHADES + SHADES // 2 - 1, 1], [1, 2 + SHADES + SHADES - 1]]


def test_cells_that_are_not_expected_do_not_dilute_a_shade():
    codes = np.array([[3, 0, 0, 0]], dtype=np.uint8)
    assert levels_of(codes, 1, 1).item() == 2 + 2 * SHADES - 1


@settings(max_examples=60)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    down=st.integers(1, 30),
    across=st.integers(1, 30),
    seed=st.integers(0, 2**16),
)
def test_every_pixel_shows_the_worst_of_exactly_its_cells(rows, columns, down, across, seed):
    codes = np.random.default_rng(seed).integers(0, 4, size=(rows, columns)).astype(np.uint8)
    levels = levels_of(codes, down, across)
    for pixel_row in range(down):
        first = pixel_row * rows // down
        last = max(first + 1, (pixel_row + 1) * rows // down)
        for pixel_column in range(across):
            left = pixel_column * columns // across
            right = max(left + 1, (pixel_column + 1) * columns // across)
            worst = codes[first:last, left:right].max()
            level = levels[pixel_row, pixel_column]
            assert (0 if level == 0 else 1 + (level > 1) + (level > 1 + SHADES)) == worst


def test_the_colours_differ_for_eyes_that_do_not_tell_red_from_green():
    # Deuteranopia and protanopia, Machado et al. (2009), severity 1, on linear light.
    kinds = (
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    )
    luminance = np.array([0.2126, 0.7152, 0.0722])
    colours = [GREEN, *(rgb_of(FEW_COLOURS[v]) for v in ("AMBER", "RED")), AMBER, RED]
    linear = (np.array(colours) / 255) ** 2.2
    for kind in kinds:
        green, few_amber, few_red, amber, red = (linear @ np.array(kind).T).clip(0) @ luminance
        assert green > 1.4 * amber
        assert min(few_amber, amber) > 1.7 * few_red
        assert few_red > 2 * red


def test_a_simulated_vendor_is_stamped():
    simulated = ledger({"A": "GGR"}, vendor="simulated")
    for draw in (coverage_heatmap, reason_breakdown, lambda rows: age_picture(rows, LAST)):
        assert has_red_mark(draw(simulated))
        assert not has_red_mark(draw(ledger({"A": "GGR"})))
    mixed = pl.concat([ledger({"A": "GGR"}), ledger({"B": "GGG"}, vendor="simulated")])
    assert has_red_mark(coverage_heatmap(mixed))


def test_a_ledger_of_another_timeframe_gives_a_picture_that_says_so():
    hourly = coverage_heatmap(ledger({"A": "GGG"}, timeframe="1h"))
    assert hourly.startswith(b"\x89PNG")
    assert not has_colour(pixels(hourly), GREEN)
    assert coverage_heatmap(ledger({"A": "GGG"}).clear()) == hourly


def test_candles_where_none_are_expected_are_drawn_but_have_no_share():
    rows = ledger({"A": "RR"}).with_columns(expected_rows=pl.lit(0, dtype=pl.Int32))
    assert has_colour(pixels(coverage_heatmap(rows)), RED)


def test_a_ledger_that_was_never_delivered_can_be_drawn():
    assert coverage_heatmap(ledger({"A": "RR"}, vendor=None)).startswith(b"\x89PNG")


def test_the_order_of_the_rows_does_not_matter():
    rows = ledger({"B": "GAR" * 30, "A": "RGG" * 30})
    shuffled = rows.sample(fraction=1, shuffle=True, seed=4)
    assert coverage_heatmap(rows) == coverage_heatmap(shuffled)
    assert reason_breakdown(rows) == reason_breakdown(shuffled)
    assert age_picture(rows, LAST) == age_picture(shuffled, LAST)


@pytest.mark.parametrize(
    ("sessions", "first", "at_most"),
    [(5, "24 Jun", 12), (42, "06 May", 12), (252, "Jul\n2023", 13), (600, "Apr\n2022", 11)],
)
def test_the_axis_names_what_begins(sessions, first, at_most):
    days = SessionSpan(offset_session(LAST, 1 - sessions), LAST).sessions
    places, names = session_ticks(days)
    assert names[0] == first
    assert 3 <= len(names) <= at_most
    assert all(0 < place < sessions for place in places)


def test_twenty_years_are_named_by_year():
    days = SessionSpan(offset_session(LAST, -5_039), LAST).sessions
    places, names = session_ticks(days)
    assert names == [str(year) for year in range(2005, 2025)]
    assert days[int(places[0])] == dt.date(2005, 1, 3)


def month_rows(*rows):
    schema = {"table": pl.String, "month": pl.Date, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def test_months_have_the_colour_of_their_share():
    january, march = dt.date(2024, 1, 1), dt.date(2024, 3, 1)
    counts = month_rows(
        {"table": "bars", "month": january, "share": 1.0},
        {"table": "bars", "month": march, "share": 0.2},
        {"table": "labels", "month": march, "share": 0.95},
    )
    picture = pixels(month_table_heatmap(counts, vendors=["archive"]))
    third = MONTHS_WIDTH // 3
    middles = [
        [
            # Off the centre, where the share is written.
            tuple(picture[MONTHS_TOP + ROW_HEIGHT * row + 5, MONTHS_LEFT + third * month + 30])
            for month in range(3)
        ]
        for row in range(2)
    ]
    assert middles == [[GREEN, ABSENT, RED], [ABSENT, ABSENT, AMBER]]


def test_months_say_their_vendor():
    counts = month_rows({"table": "bars", "month": dt.date(2024, 1, 1), "share": 1.0})
    assert has_red_mark(month_table_heatmap(counts, vendors=["simulated"]))
    assert month_table_heatmap(counts.clear(), vendors=["archive"]).startswith(b"\x89PNG")


def test_a_ledger_without_reasons_or_ages_can_be_drawn():
    assert reason_breakdown(ledger({"A": "GGG"})).startswith(b"\x89PNG")
    empty = ledger({"A": "GGG"}).clear()
    assert reason_breakdown(empty).startswith(b"\x89PNG")
    assert age_picture(empty, LAST).startswith(b"\x89PNG")


def test_a_reason_of_one_cell_still_has_a_bar():
    rows = pl.concat(
        [
            ledger({f"S{n:03d}": "A" * 40 for n in range(50)}),
            ledger({"X": "R"}),
        ]
    )
    picture = pixels(reason_breakdown(rows)).astype(int)
    red = (picture[30:, :, 0] > 100) & (picture[30:, :, 1] < 50) & (picture[30:, :, 2] < 60)
    # Left of the legend, which has its own RED.
    assert red[:, :400].sum() > 20


def test_one_late_symbol_shows_in_its_bucket():
    fresh = ledger({f"S{n:02d}": "G" * 25 for n in range(40)})
    late = pl.concat([fresh, ledger({"X": "G" + "R" * 24})])
    assert not has_colour(pixels(age_picture(fresh, LAST)), RED)
    assert has_colour(pixels(age_picture(late, LAST)), RED)


def test_ages_of_all_timeframes_fit_one_picture():
    rows = pl.concat([ledger({"A": "GR"}, timeframe=timeframe) for timeframe in TIMEFRAMES])
    assert len(age_picture(rows, LAST)) < 60_000


QUEUE_SCHEMA = {
    "symbol": pl.String,
    "timeframe": pl.String,
    "first_session": pl.Date,
    "last_session": pl.Date,
    "reason": pl.String,
    "importance": pl.Float64,
    "attempts": pl.Int64,
    "not_before": pl.Datetime("us", "UTC"),
    "is_dead": pl.Boolean,
}
NOON = dt.datetime(2024, 6, 30, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def queue(*rows):
    """Work on A's last session, alive unless said."""
    cell = {"symbol": "A", "timeframe": "1d", "first_session": LAST, "last_session": LAST}
    work = cell | {"importance": 1.0, "is_dead": False}
    return pl.DataFrame([work | row for row in rows], schema=QUEUE_SCHEMA)


def audits():
    row = {
        "audited_at": dt.datetime(2024, 6, 29, 1, 30, tzinfo=dt.UTC),
        "as_of_session": LAST,
        "first_session": dt.date(2024, 6, 3),
        "session": LAST,
        "cells": 1234,
        "changed": 5,
        "green": 1200,
        "amber": 30,
        "red": 4,
    }
    return make_rows(AUDITS, row)


def status(rows, *, waiting=None, audited=None, width=80, **options):
    """Lines as a terminal without colours prints them."""
    lines = status_lines(
        rows,
        AUDITS.empty() if audited is None else audited,
        queue() if waiting is None else waiting,
        **{"as_of": LAST, "width": width, **options},
    )
    console = Console(width=width, file=io.StringIO(), color_system=None)
    for line in lines:
        console.print(line)
    return console.file.getvalue().splitlines()


def test_status_reads_without_colour():
    rows = ledger(
        {"AAA": "GGGGGGGGGG", "BBB": "GGGGGGGGAR", "CCC": "GGGGGGGGGG", "DDD": "GGGGGGGGRR"}
    )
    text = status(rows, audited=audits())
    assert text[0] == "Completeness as of 2024-06-28  vendor=archive"
    assert text[1] == ("last audit 2024-06-29 01:30 UTC: 1,234 cells from 2024-06-03 on, 5 changed")
    shares = text[text.index("Shares") + 2]
    assert shares.split() == ["1d", "40", "36", "90.00", "%", "1", "2.50", "%", "3", "7.50", "%"]
    strip = text[text.index("Last 10 sessions") + 1 :][:10]
    assert strip[0].split() == ["2024-06-14", "Fri", "G" * 32, "G", "4"]
    assert strip[8].split() == [
        "2024-06-27",
        "Thu",
        "G" * 16 + "A" * 8 + "R" * 8,
        *("G", "2", "A", "1", "R", "1"),
    ]
    assert strip[9].split() == ["2024-06-28", "Fri", "G" * 16 + "R" * 16, "G", "2", "R", "2"]
    assert "  2024 ·····▒······ 90.00 %" in text
    assert ["missing", "RED", "3", "7.50", "%"] in [line.split() for line in text]
    assert "  1d   symbols by sessions behind  0: 2, 2: 2" in text
    assert "  DDD       1d   last GREEN 2024-06-26   2 sessions behind" in text
    assert text[-1] == "  empty"


def test_status_says_that_sessions_were_not_audited():
    text = status(ledger({"A": "G"}, last=offset_session(LAST, -1)))
    assert "  2024-06-28 Fri  not audited" in text
    assert "no audit is recorded" in text


def test_one_red_cell_has_its_letter_in_the_strip():
    rows = ledger({**{f"S{n:03d}": "G" for n in range(400)}, "X": "R"})
    line = next(line for line in status(rows) if line.startswith("  2024-06-28 Fri"))
    assert line.split()[2] == "G" * 31 + "R"


def test_status_of_an_empty_ledger_says_so():
    text = status(ledger({"A": "G"}).clear())
    assert text[0] == "Completeness as of 2024-06-28  vendor=none"
    assert "The ledger is empty: nothing was audited yet." in text


def test_status_names_a_simulated_vendor():
    assert status(ledger({"A": "G"}, vendor="simulated"))[0].endswith("vendor=simulated")


def test_status_counts_the_queue_and_explains_dead_letters():
    waiting = queue(
        {"reason": "missing", "attempts": 0},
        {"reason": "vendor_failure", "attempts": 2, "not_before": NOON - HOUR},
        {"reason": "vendor_failure", "attempts": 3, "not_before": NOON + HOUR},
        {
            "reason": "vendor_failure: the gateway is down",
            "attempts": 7,
            "not_before": NOON - HOUR,
            "is_dead": True,
        },
    )
    text = status(ledger({"A": "G"}), waiting=waiting, now=NOON)
    assert text[-3:] == [
        "  2 live, 1 waiting to be tried again, 1 dead letter",
        "  A         1d   2024-06-28...2024-06-28 dead after 7 attempts:",
        "    vendor_failure: the gateway is down",
    ]
    unknown = status(ledger({"A": "G"}), waiting=waiting)
    assert "  1 live, 2 waiting to be tried again, 1 dead letter" in unknown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_status_of_all_timeframes_and_years_fits_its_width(width):
    years = pl.concat(
        [
            ledger({"LONGEST-ONE": "GAR" * 4}, last=offset_session(LAST, -252 * back), timeframe=t)
            for back in range(20)
            for t in ("1m", "1h", "1d")
        ]
    )
    dead = queue(*[{"reason": "word " * 60, "attempts": 7, "is_dead": True}] * 9)
    lines = status_lines(years, audits(), dead, as_of=LAST, width=width)
    assert max(line.cell_len for line in lines) <= width
    assert len(status(years, waiting=dead, audited=audits(), width=width)) == len(lines)


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 3, "33.33 %"),
        (1, 5_191_200, "<0.01 %"),
        (5_191_199, 5_191_200, ">99.99 %"),
    ],
)
def test_a_share_never_hides_the_last_cell(count, total, text):
    assert share_text(count, total) == text
