"""Figures by hand."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from turbomode_assets.backtest import backtest_overfitting, survivorship_note
from turbomode_assets.backtest.costs import executed_price, transaction_cost
from turbomode_assets.backtest.figures import (
    CURVE_POINTS,
    equity_curve,
    measure,
    session_returns,
    with_drawdown,
)
from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.reports.backtest import backtest_picture
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.validation import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from turbomode_assets_tests.backtest.builders import CONFIG, random_case, session
from turbomode_assets_tests.builders import make_universe
from turbomode_assets_tests.reports.builders import has_red_mark, pixels

VALUES = [100.0, 110.0, 99.0, 88.0, 110.0, 121.0]


def equity(values=VALUES, turnover=10.0):
    frame = pl.DataFrame(
        {
            "session": [session(number) for number in range(len(values))],
            "equity": [float(value) for value in values],
            "turnover": turnover,
        }
    )
    return with_drawdown(frame, 100.0)


@pytest.mark.parametrize("count", [1, CURVE_POINTS, CURVE_POINTS + 1, 5 * CURVE_POINTS + 7])
def test_the_curve_ends_as_the_backtest_does_and_loses_no_drawdown(count):
    walk = 100 * np.exp(np.random.default_rng(2).normal(0, 0.01, count).cumsum())
    whole = equity(walk.tolist())
    curve = equity_curve(whole.sample(fraction=1, shuffle=True, seed=1))
    assert curve.columns == ["session", "equity", "drawdown"]
    assert CURVE_POINTS / 2 < curve.height <= CURVE_POINTS or curve.height == count
    for end in (0, -1):
        assert curve.row(end)[:2] == whole.select("session", "equity").row(end)
    assert curve["session"].is_sorted()
    assert curve["drawdown"].max() == whole["drawdown"].max()


def trades(*rows):
    """Trades of (numbers of the entry's and of the exit's session, return)."""
    schema = {
        "entry_session": pl.Date,
        "exit_session": pl.Date,
        "return": pl.Float64,
        "cost_usd": pl.Float64,
    }
    placed = [
        {
            "entry_session": session(entry),
            "exit_session": None if left is None else session(left),
            "return": earned,
            "cost_usd": 1.5,
        }
        for entry, left, earned in rows
    ]
    return pl.DataFrame(placed, schema=schema)


def test_figures_of_six_sessions():
    row = measure(
        trades((1, 3, 0.1), (1, 1, -0.1), (2, 5, 0.0), (3, None, 0.5)),
        equity(),
        100.0,
        trials=10,
        trial_sharpe_variance=0.01,
    ).row(0, named=True)
    returns = np.array([0.0, 0.1, -0.1, -1 / 9, 0.25, 0.1])
    assert session_returns(equity(), 100.0) == pytest.approx(returns)
    assert row["annual_return"] == pytest.approx(1.21 ** (252 / 6) - 1)
    assert row["annual_volatility"] == pytest.approx(returns.std(ddof=1) * math.sqrt(252))
    sharpe = returns.mean() / returns.std(ddof=1)
    assert row["sharpe"] == pytest.approx(sharpe * math.sqrt(252))
    assert row["probabilistic_sharpe"] == pytest.approx(probabilistic_sharpe_ratio(returns))
    assert row["deflated_sharpe"] == pytest.approx(
        deflated_sharpe_ratio(returns, trials=10, trial_sharpe_variance=0.01)
    )
    assert row["deflated_sharpe"] < row["probabilistic_sharpe"]
    assert row["maximum_drawdown"] == pytest.approx(0.2)
    assert row["drawdown_peak_session"] == session(1)
    assert row["drawdown_trough_session"] == session(3)
    assert row["drawdown_recovery_session"] == session(4)
    assert row["hit_rate"] == pytest.approx(1 / 3)
    assert row["mean_holding_sessions"] == pytest.approx((2 + 0 + 3) / 3)
    assert row["turnover_per_year"] == pytest.approx(30 / (sum(VALUES) / 6) * 252 / 6)
    assert (row["trades"], row["open_positions"], row["cost_usd"]) == (4, 1, 6.0)


def test_a_drawdown_that_lasts_has_no_recovery_and_counts_from_the_initial_capital():
    row = measure(trades(), equity([90.0, 95.0, 80.0]), 100.0).row(0, named=True)
    assert row["maximum_drawdown"] == pytest.approx(0.2)
    assert row["drawdown_peak_session"] == session(0)
    assert row["drawdown_recovery_session"] is None
    assert row["hit_rate"] is None


def test_a_line_that_only_rises_has_no_drawdown():
    row = measure(trades(), equity([100.0, 101.0, 103.0]), 100.0).row(0, named=True)
    assert (row["maximum_drawdown"], row["drawdown_peak_session"]) == (0.0, None)


def test_ruin_ends_the_returns():
    assert session_returns(equity([50.0, -10.0, 20.0]), 100.0).tolist() == [-0.5, -1.0, 0.0]


def test_one_session_has_a_return_and_no_deviation():
    row = measure(trades(), equity([101.0]), 100.0).row(0, named=True)
    assert (row["sessions"], row["annual_volatility"], row["sharpe"]) == (1, None, None)
    assert row["annual_return"] == pytest.approx(1.01**252 - 1)


def test_a_buyer_pays_more_and_a_seller_gets_less():
    assert executed_price(200.0, 1.0, 50.0) == pytest.approx(201)
    assert executed_price(200.0, -1.0, 50.0) == pytest.approx(199)
    assert transaction_cost(-2_000.0, 5.0) == pytest.approx(1)


def test_costs_and_slippage_cost_what_they_say():
    free = CONFIG.model_copy(update={"cost_bps": 0.0, "slippage_bps": 0.0})
    figures = random_case().run(free).figures
    assert figures.select("cost_usd", "slippage_usd").row(0) == (0, 0)
    assert random_case().run(CONFIG).figures["slippage_usd"][0] > 0


def test_choosing_the_best_of_several_backtests_is_measured():
    case = random_case()
    tried = [
        case.run(CONFIG.model_copy(update={"maximum_positions": count})).equity
        for count in (2, 4, 8)
    ]
    result = backtest_overfitting(tried, CONFIG.initial_capital_usd, blocks=4)
    assert result.splits == 6
    assert 0 <= result.probability <= 1
    with pytest.raises(InputError, match="2 spans"):
        backtest_overfitting([tried[0], tried[1].head(40)], 1e5, blocks=4)


SPAN = SessionSpan(dt.date(2015, 1, 2), dt.date(2016, 12, 30))


def universe(**last):
    names = pl.col("symbol")
    days = {name: dt.date.fromisoformat(day) for name, day in last.items()}
    frame = make_universe(["AAA", "BBB", "CCC", "DDD"])
    return frame.with_columns(
        last_session=names.replace_strict(days, default=None, return_dtype=pl.Date)
    )


def test_the_note_counts_who_left_in_the_span():
    note = survivorship_note(universe(AAA="2016-06-01", BBB="2017-06-01", CCC="2014-06-02"), SPAN)
    assert (
        "1 of 3 tradeable symbols were delisted in 2015-01-02...2016-12-30, 16.7% of them" in note
    )
    assert "0.30 points" in note


def test_the_note_says_that_survivors_only_are_an_upper_bound():
    note = survivorship_note(universe(), SPAN)
    assert "0 of 4" in note
    assert "survivors only" in note
    assert "upper bounds" in note


def test_a_universe_of_nobody_has_no_note():
    with pytest.raises(InputError, match="no tradeable symbol"):
        survivorship_note(universe().with_columns(role=pl.lit("benchmark")), SPAN)


def test_a_limit_of_one_above_the_limit_of_all_is_refused():
    with pytest.raises(ValidationError, match="position_limit"):
        BacktestConfig(**(CONFIG.model_dump() | {"position_limit": 1.5}))


def test_the_note_is_printed_below_the_picture():
    note = survivorship_note(universe(AAA="2016-06-01"), SPAN)
    bare = backtest_picture(equity_curve(equity()), vendors=["archive"])
    noted = backtest_picture(equity_curve(equity()), vendors=["archive"], note=note)
    assert len(bare) < len(noted) < 60_000
    # Its last line stands where the bare picture has nothing but its axis.
    dark = (pixels(noted)[-20:, :, :3].max(axis=2) < 0.6).sum()
    assert dark > (pixels(bare)[-20:, :, :3].max(axis=2) < 0.6).sum() + 100


@pytest.mark.parametrize("count", [0, 1, 3, 83, 600])
def test_the_picture_is_small_and_marks_a_simulated_market(count):
    walk = 100 * np.exp(np.random.default_rng(1).normal(0, 0.01, count).cumsum())
    frame = equity_curve(equity(walk.tolist()) if count else equity().clear())
    picture = backtest_picture(frame, vendors=["simulated"])
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000
    assert has_red_mark(picture)
    assert picture == backtest_picture(frame, vendors=["simulated"])
    assert not has_red_mark(backtest_picture(frame, vendors=["archive"]))
