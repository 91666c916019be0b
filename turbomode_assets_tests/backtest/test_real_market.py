"""Real prices: every trade, dollar and figure against plain Python from the same files."""

import datetime as dt
import itertools
import math
import statistics

import numpy as np
import polars as pl
import pytest

from turbomode_assets.backtest import backtest_overfitting
from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.backtest.builders import cut
from turbomode_assets_tests.backtest.real_market import (
    CLOSE_TO,
    GONE,
    RULE,
    SPAN,
    TOLD,
    UNTOLD,
    RealMarket,
    real_market,
    reference_book,
    replaced,
    require_same,
)
from turbomode_assets_tests.builders import real_data_folder

pytestmark = pytest.mark.real_data
CONFIG = BacktestConfig(
    initial_capital_usd=1_000_000.0,
    cost_bps=10.0,
    slippage_bps=5.0,
    position_limit=0.15,
    maximum_gross_exposure=1.0,
    maximum_positions=6,
    sizing="equal",
)
INVESTED = CONFIG.model_copy(update={"position_limit": 0.5})
"""Six positions are all of the equity."""
FREE = CONFIG.model_copy(update={"cost_bps": 0.0, "slippage_bps": 0.0})


@pytest.fixture(scope="module")
def market():
    return real_market()


@pytest.fixture(scope="module")
def longs(market):
    """The market with every signal a BUY, as probable as its own side was."""
    sure = pl.max_horizontal("p_buy", "p_sell")
    is_signal = pl.col("signal") != "HOLD"
    bought = market.predictions.with_columns(
        signal=pl.when(is_signal).then(pl.lit("BUY")).otherwise("signal"), p_buy=sure
    )
    return replaced(market, predictions=bought)


@pytest.fixture(scope="module")
def both(market, longs):
    """Result and reference with both sides, and with longs alone."""
    return {
        name: (each.case.run(config), reference_book(each, config))
        for name, each, config in (("both", market, CONFIG), ("longs", longs, INVESTED))
    }


def only(market: RealMarket, symbol: str, decided: dt.date, signal: str = "BUY") -> RealMarket:
    """The market with a single signal."""
    one = (pl.col("symbol") == symbol) & (pl.col("session") == decided)
    sent = market.predictions.with_columns(
        signal=pl.when(one).then(pl.lit(signal)).otherwise(pl.lit("HOLD")),
        p_buy=pl.lit(0.5),
        p_sell=pl.lit(0.3),
    )
    assert sent.filter(one).height == 1
    return replaced(market, predictions=sent)


def returns_of(result) -> list[float]:
    values = [CONFIG.initial_capital_usd, *result.equity["equity"]]
    return [after / before - 1 for before, after in itertools.pairwise(values)]


def sharpe(values) -> float:
    return statistics.mean(values) / statistics.stdev(values)


@pytest.mark.parametrize("sides", ["both", "longs"])
def test_every_trade_and_every_dollar_is_what_the_files_give(both, sides):
    result, book = both[sides]
    require_same(book, result.trades, result.equity)
    assert result.trades.height > 350
    reasons = set(result.trades["exit_reason"])
    assert {"profit_take", "stop_loss", "expiry", "open"} <= reasons
    assert set(result.signals.filter(pl.col("count") > 0)["fate"]) == {
        *("traded", "already_held", "no_room", "no_entry_bar", "no_volatility", "pending")
    }


@pytest.mark.parametrize("sides", ["both", "longs"])
def test_no_dollar_appears_or_vanishes_and_no_limit_is_passed(both, sides):
    result, _ = both[sides]
    equity, trades = result.equity, result.trades
    gap = equity["equity"] - equity["cash"] - equity["net_exposure"]
    assert gap.abs().max() < CLOSE_TO * CONFIG.initial_capital_usd
    made = math.fsum(trades["profit_usd"]) - math.fsum(trades["cost_usd"])
    assert made == pytest.approx(equity["equity"][-1] - CONFIG.initial_capital_usd, rel=CLOSE_TO)
    eves = equity.select(
        pl.col("session").shift(-1).alias("entry_session"), eve="equity", held="gross_exposure"
    ).drop_nulls()
    opened = trades.with_columns(amount=pl.col("quantity") * pl.col("entry_price")).join(
        eves, on="entry_session", how="left", validate="m:1"
    )
    most = CONFIG.position_limit if sides == "both" else 1 / CONFIG.maximum_positions
    assert (opened["amount"] <= most * opened["eve"] * (1 + CLOSE_TO)).all()
    taken = opened.group_by("entry_session", "eve", "held").agg(pl.col("amount").sum())
    assert (taken["amount"] + taken["held"] <= taken["eve"] * (1 + CLOSE_TO)).all()
    # An exit is known in its own session, but for delistings and the halted, which are later.
    for day in equity["session"]:
        here = (pl.col("entry_session") <= day) & (
            pl.col("exit_session").is_null() | (pl.col("exit_session") > day)
        )
        assert trades.filter(here)["symbol"].is_unique().all()
        assert trades.filter(here).height <= CONFIG.maximum_positions


def test_longs_within_the_equity_never_borrow(both):
    cash = both["longs"][0].equity["cash"]
    # All of it was invested at times.
    assert cash.min() == pytest.approx(0, abs=1e-6)


def test_a_position_held_over_a_split_multiplies_its_shares_and_keeps_its_value(market):
    for symbol, ex_date, closes in (
        ("AAPL", dt.date(2014, 6, 9), (645.57, 93.70)),
        ("NFLX", dt.date(2015, 7, 15), (7 * 100.3713, None)),
    ):
        eve = offset_session(ex_date, -1)
        result = only(market, symbol, offset_session(eve, -1)).case.run(FREE)
        trade, traded = result.trades.row(0, named=True), market.traded[symbol]
        assert trade["entry_session"] == eve
        assert trade["exit_session"] >= ex_date
        worth = dict(result.equity.select("session", "net_exposure").iter_rows())
        # Bought for 150,000 USD at the unadjusted open; sold as seven times the shares.
        shares = 150_000 / traded[eve].open
        sold = 7 * shares
        assert worth[eve] == pytest.approx(shares * closes[0], rel=CLOSE_TO)
        assert worth[ex_date] == pytest.approx(sold * closes[1] if closes[1] else 0, rel=CLOSE_TO)
        received = 150_000 + trade["profit_usd"]
        last = traded[trade["exit_session"]]
        assert last.low <= received / sold <= last.high


def test_a_return_over_a_split_is_that_of_the_vendor_s_adjusted_prices(market):
    vendor = pl.read_parquet(real_data_folder() / "wiki_raw_and_adjusted.parquet")
    day, split = dt.date(2014, 6, 6), dt.date(2014, 6, 9)
    result = only(market, "AAPL", offset_session(day, -1)).case.run(FREE)
    adjusted = {row["date"]: row for row in vendor.to_dicts()}
    ours = result.equity.filter(session=split)["net_exposure"][0] / 150_000
    assert ours == pytest.approx(adjusted[split]["adj_close"] / adjusted[day]["adj_open"], rel=1e-9)


def test_a_dividend_is_in_the_value_of_a_position_held_over_it(market):
    # Exxon paid 0.73 USD to those who held it on 2015-05-08, at a close of 88.99; then 86.78.
    ex_date = dt.date(2015, 5, 11)
    eve = offset_session(ex_date, -1)
    result = only(market, "XOM", offset_session(eve, -1)).case.run(FREE)
    worth = dict(result.equity.select("session", "net_exposure").iter_rows())
    shares = 150_000 / market.traded["XOM"][eve].open
    assert worth[eve] == pytest.approx(shares * 88.99, rel=CLOSE_TO)
    reinvested = shares / (1 - 0.73 / 88.99)
    assert worth[ex_date] == pytest.approx(reinvested * 86.78, rel=CLOSE_TO)


def test_a_gap_through_the_stop_is_filled_at_the_open_of_the_crash(market):
    # Caterpillar: bought at 77.28, its stop at 74.52; on 2015-08-24 it opened at 71.82.
    result = only(market, "CAT", dt.date(2015, 8, 19)).case.run(CONFIG)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_session"], trade["exit_reason"]) == (dt.date(2015, 8, 24), "stop_loss")
    bought, sold = 77.28 * 1.0005, 71.82 * 0.9995
    assert trade["profit_usd"] == pytest.approx(150_000 * (sold / bought - 1), rel=CLOSE_TO)
    assert trade["cost_usd"] == pytest.approx(150 * (1 + sold / bought), rel=CLOSE_TO)


def test_bars_that_end_close_a_position_at_the_last_close(market):
    for symbol, last, reason, known in (
        ("KO", TOLD.last, "delisting", TOLD.known),
        ("GE", UNTOLD, "expiry", None),
    ):
        decided = market.case.labels.filter(symbol=symbol, exit_reason=reason).filter(
            pl.col("exit_session") == last, pl.col("session") > last
        )["decision_session"][-1]
        entry = offset_session(decided, 1)
        result = only(market, symbol, decided).case.run(FREE)
        trade = result.trades.row(0, named=True)
        bars = market.adjusted[symbol]
        assert (trade["exit_session"], trade["exit_reason"]) == (last, reason)
        assert trade["exit_price"] == pytest.approx(bars[last].close, rel=CLOSE_TO)
        held = result.equity.filter(pl.col("gross_exposure") > 0)["session"]
        settled = known or offset_session(entry, RULE.horizon_sessions)
        assert (held[0], held[-1]) == (entry, offset_session(settled, -1))


def test_a_hole_of_ten_sessions_is_passed_over(market):
    hole = dt.date(2015, 3, 9), dt.date(2015, 3, 20)
    over = market.case.labels.filter(
        pl.col("symbol") == "O", pl.col("entry_session") < hole[0], pl.col("session") > hole[1]
    )
    assert over.height > 0
    first = over.row(0, named=True)
    result = only(market, "O", first["decision_session"]).case.run(FREE)
    trade = result.trades.row(0, named=True)
    flat = result.equity.filter(pl.col("session").is_between(*hole))["equity"]
    assert flat.n_unique() == 1
    assert trade["exit_session"] == first["exit_session"] > hole[1]


@pytest.mark.parametrize("last", [dt.date(2014, 6, 6), dt.date(2015, 3, 12), dt.date(2015, 7, 14)])
def test_other_prices_and_events_after_a_session_change_nothing_up_to_it(market, both, last):
    rng = np.random.default_rng(3)
    later = pl.col("session") > last
    noise = pl.Series(rng.uniform(0.5, 2.0, market.unadjusted.height))
    changed = market.unadjusted.with_columns(
        pl.when(later).then(pl.col(name) * noise).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    )
    is_known = pl.col("ex_date") <= last
    other = replaced(
        market,
        unadjusted=changed,
        splits=market.splits.filter(is_known),
        dividends=market.dividends.filter(is_known),
    )
    whole, probe = both["both"][0], other.case.run(CONFIG)
    for name in ("equity", "trades"):
        column = "session" if name == "equity" else "entry_session"
        one, two = (getattr(each, name).filter(pl.col(column) <= last) for each in (whole, probe))
        if name == "trades":
            # What ends later ends otherwise; what was ordered did not.
            ended = pl.col("exit_session") <= last
            assert one.filter(ended).equals(two.filter(ended))
            ordered = ["symbol", "side", "signal_session", "entry_session", "entry_price"]
            one, two = (rows.select(*ordered, "quantity") for rows in (one, two))
        assert one.equals(two), name
        assert one.height > 0
    assert not probe.equity["equity"].equals(whole.equity["equity"])
    assert (
        cut(other.case, last).run(CONFIG).equity.equals(cut(market.case, last).run(CONFIG).equity)
    )


def test_sharpe_drawdown_and_turnover_are_what_their_definitions_give(both):
    for result, book in both.values():
        row, returns = result.figures.row(0, named=True), returns_of(result)
        assert row["sharpe"] == pytest.approx(sharpe(returns) * math.sqrt(252), rel=CLOSE_TO)
        high, deepest = CONFIG.initial_capital_usd, 0.0
        for day in book.days:
            high = max(high, day.equity)
            deepest = max(deepest, 1 - day.equity / high)
        assert row["maximum_drawdown"] == pytest.approx(deepest, rel=CLOSE_TO)
        assert result.equity["drawdown"][-1] == pytest.approx(1 - book.days[-1].equity / high)
        years = len(book.days) / 252
        traded = math.fsum(day.turnover for day in book.days) / 2
        mean = statistics.mean(day.equity for day in book.days)
        assert row["turnover_per_year"] == pytest.approx(traded / mean / years, rel=CLOSE_TO)
        grown = book.days[-1].equity / CONFIG.initial_capital_usd
        assert row["annual_return"] == pytest.approx(grown ** (1 / years) - 1, rel=CLOSE_TO)
        closed = [each for each in book.trades if each.ending]
        hits = sum(each.made > 0 for each in closed) / len(closed)
        assert row["hit_rate"] == pytest.approx(hits)
        assert row["cost_usd"] == pytest.approx(math.fsum(each.cost for each in book.trades))


def test_the_deflated_sharpe_ratio_is_the_paper_s(market):
    trials, variance = 40, 0.0001
    result = market.case.run(CONFIG, trials=trials, trial_sharpe_variance=variance)
    returns = returns_of(result)
    ratio, mean, count = sharpe(returns), statistics.mean(returns), len(returns)
    second, third, fourth = (
        statistics.mean((each - mean) ** power for each in returns) for power in (2, 3, 4)
    )
    skewness, kurtosis = third / second**1.5, fourth / second**2
    normal = statistics.NormalDist()
    # Bailey and López de Prado (2014), equations 1 and 2; Euler's constant to 16 digits.
    euler = 0.5772156649015329
    luck = math.sqrt(variance) * (
        (1 - euler) * normal.inv_cdf(1 - 1 / trials)
        + euler * normal.inv_cdf(1 - 1 / (trials * math.e))
    )
    error = math.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)
    expected = {
        name: normal.cdf((ratio - benchmark) * math.sqrt(count - 1) / error)
        for name, benchmark in (("probabilistic_sharpe", 0.0), ("deflated_sharpe", luck))
    }
    for name, value in expected.items():
        assert result.figures[name][0] == pytest.approx(value, rel=CLOSE_TO), name
    assert 0.001 < expected["deflated_sharpe"] < expected["probabilistic_sharpe"] - 0.001


def test_the_probability_of_overfitting_is_the_paper_s(market):
    changes = ({}, {"maximum_positions": 3}, {"maximum_positions": 12}, {"cost_bps": 40.0})
    tried = [market.case.run(CONFIG.model_copy(update=each)) for each in changes]
    blocks, returns = 8, [returns_of(each) for each in tried]
    measured = backtest_overfitting(
        [each.equity for each in tried], CONFIG.initial_capital_usd, blocks=blocks
    )
    # Bailey, Borwein, López de Prado and Zhu (2015), section 3: all choices of half the blocks.
    parts = np.array_split(np.arange(len(returns[0])), blocks)
    logits = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        inside, outside = (
            [day for block in range(blocks) if (block in chosen) is inner for day in parts[block]]
            for inner in (True, False)
        )
        seen, unseen = (
            [sharpe([each[day] for day in days]) for each in returns] for days in (inside, outside)
        )
        best = seen.index(max(seen))
        rank = sorted(unseen).index(unseen[best]) + 1
        logits.append(math.log(rank / (len(returns) + 1 - rank)))
    assert measured.splits == len(logits) == 70
    assert sorted(measured.logits) == pytest.approx(sorted(logits), abs=1e-12)
    assert measured.probability == sum(each <= 0 for each in logits) / 70


def test_the_market_holds_what_these_tests_are_about(market):
    assert market.dividends.height == 46
    assert GONE.keys() == {"KO"}
    assert market.unadjusted["session"].max() == SPAN.last
