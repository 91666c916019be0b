import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.labels import lookback_sessions, triple_barrier
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.labels.builders import CONFIG, bars, session

SESSIONS = 40


@st.composite
def markets(draw):
    """Two symbols with gaps in their bars, and perhaps a delisting of the second."""
    seed = draw(st.integers(0, 2**32 - 1))
    missing = draw(st.floats(0, 0.15))
    rng = np.random.default_rng(seed)
    frames = []
    for symbol in ("AAA", "BBB"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, SESSIONS)))
        open_ = close * np.exp(rng.normal(0, 0.01, SESSIONS))
        high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.01, SESSIONS)))
        low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.01, SESSIONS)))
        gone = rng.random(SESSIONS) < missing
        rows = [None if gone[n] else (open_[n], high[n], low[n], close[n]) for n in range(SESSIONS)]
        frames.append(bars(rows, symbol))
    last = draw(st.integers(10, SESSIONS - 1))
    known = draw(st.integers(10, SESSIONS - 1))
    kept = pl.col("symbol").eq("AAA") | pl.col("session").le(session(last))
    news = {
        "symbol": ["BBB"],
        "last_session": [session(last)],
        "knowledge_session": [session(known)],
    }
    config = CONFIG.model_copy(update={"entry": draw(st.sampled_from(["next_open", "close"]))})
    return pl.concat(frames).filter(kept), pl.DataFrame(news), config


@given(markets())
@settings(max_examples=12)
def test_a_range_equals_its_sessions_one_by_one_bit_for_bit(market):
    frame, news, config = market
    first, last = 15, SESSIONS - 1
    whole = triple_barrier(
        frame, config, known_in=SessionSpan(session(first), session(last)), delistings=news
    )
    singly = []
    for number in range(first, last + 1):
        span = SessionSpan(session(number), session(number))
        since = span.trailing(lookback_sessions(config)).first
        seen = frame.filter(pl.col("session").is_between(since, span.last))
        known = news.filter(pl.col("knowledge_session") <= span.last)
        singly.append(triple_barrier(seen, config, known_in=span, delistings=known))
    together = pl.concat(singly).sort("symbol", "decision_session")
    assert together.equals(whole)


@given(markets(), st.integers(12, SESSIONS - 2))
@settings(max_examples=30)
def test_nothing_after_the_session_a_label_became_known_matters(market, cut):
    frame, news, config = market
    span = SessionSpan(session(0), session(cut))
    other = frame.with_columns(
        pl.when(pl.col("session") > session(cut)).then(pl.col(name) * 3).otherwise(pl.col(name))
        for name in ("open", "high", "low", "close")
    )
    found = triple_barrier(frame, config, known_in=span, delistings=news)
    assert found.equals(triple_barrier(other, config, known_in=span, delistings=news))


@given(markets())
@settings(max_examples=30)
def test_each_decision_appears_once_and_after_its_entry(market):
    frame, news, config = market
    labels = triple_barrier(
        frame, config, known_in=SessionSpan(session(0), session(SESSIONS - 1)), delistings=news
    )
    assert not labels.select("symbol", "decision_session").is_duplicated().any()
    assert (labels["session"] >= labels["exit_session"]).all()
    assert (labels["exit_session"] >= labels["entry_session"]).all()
    assert (labels["entry_session"] >= labels["decision_session"]).all()


@given(markets())
@settings(max_examples=30)
def test_a_symbol_alone_equals_the_symbol_among_others(market):
    frame, news, config = market
    span = SessionSpan(session(0), session(SESSIONS - 1))
    together = triple_barrier(frame, config, known_in=span, delistings=news)
    for symbol in ("AAA", "BBB"):
        alone = frame.filter(pl.col("symbol") == symbol)
        own = triple_barrier(alone, config, known_in=span, delistings=news)
        assert own.equals(together.filter(pl.col("symbol") == symbol))
