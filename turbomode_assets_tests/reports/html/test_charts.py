"""Charts as values, and what their macros draw of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.reports.html.charts import bars, heat_map, line_chart, nice_ticks, reliability


def paths(lines, kind):
    return [line.path for line in lines if line.kind == kind]


def test_a_line_passes_through_its_values():
    chart = line_chart(
        [0.0, 0.5, 1.0], ["a", "b", "c"], str, kind="share", limit=0.25, described="x"
    )
    assert paths(chart.lines, "share") == ["M0 100L500 50L1000 0"]
    assert paths(chart.lines, "limit") == ["M0 75L1000 75"]
    assert chart.names == ["a", "b", "c"]
    assert [tick.top for tick in chart.ticks] == pytest.approx([100, 80, 60, 40, 20, 0])


def test_a_single_value_is_a_line_across():
    chart = line_chart([3.0], ["a"], str, kind="equity", from_zero=True, described="x")
    (path,) = paths(chart.lines, "equity")
    assert path.startswith("M0 ")
    assert "L1000 " in path


def test_dots_lie_where_what_was_said_meets_what_came_true():
    chart = reliability({"BUY": [(0.5, 0.4), (0.9, 1.0)]})
    assert paths(chart.dots, "buy") == ["M50 60h0M90 0h0"]
    assert paths(chart.lines, "buy") == ["M50 60L90 0"]


def test_neighbours_of_one_kind_are_one_stretch_and_others_are_left_out():
    chart = heat_map([("A", "GG.R")], ["1", "2", "3", "4"], {"G": "green", "R": "red"})
    found = [(each.kind, each.start, each.length) for each in chart.stretches]
    assert found == [("green", 0, 2), ("red", 3, 1)]


def test_bars_begin_in_the_middle_and_the_longest_reaches_the_edge():
    falls, rises = bars([("a", -2.0, "-2"), ("b", 1.0, "+1")])
    assert (falls.left, falls.length, falls.kind) == (0.0, 50.0, "fall")
    assert (rises.left, rises.length, rises.kind) == (50.0, 25.0, "rise")
    assert bars([("a", 0.0, "0")])[0].length == 0.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.05, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (-0.24, 0.0, [-0.25, -0.2, -0.15, -0.1, -0.05, 0.0]),
        (0.0, 0.3, [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (0.0, 0.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (90_000.0, 90_000.0, [40_000.0, 60_000.0, 80_000.0, 100_000.0, 120_000.0, 140_000.0]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


@given(
    st.floats(-1e9, 1e9, allow_subnormal=False),
    st.floats(0, 1e9, allow_subnormal=False),
)
def test_ticks_span_the_values_and_are_few(low, span):
    ticks = nice_ticks(low, low + span)
    slack = 1e-6 * max(abs(low), span, 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 10
    assert ticks == sorted(set(ticks))
