import statistics
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import DynamicArchiveUpdatesConfig, RareEventArchiveConfig
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.labels import (
    RARE_EVENT_KINDS,
    RARE_EVENT_SCHEMA,
    detect_rare_events,
    update_archive,
)
from turbomode_assets.labels.rare_events import first_detectable_session
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.labels.builders import Bar, bars, flat, session

CONFIG = RareEventArchiveConfig(
    crash_return=0.1,
    circuit_breaker_return=0.07,
    gap_deviations=5.0,
    volatility_spike_ratio=4.0,
    volume_shock_ratio=5.0,
    window_sessions=5,
    mix_ratio=0.05,
    maximum_weight=2.0,
)
ARCHIVE = DynamicArchiveUpdatesConfig(
    capacity_events=100, minimum_gap_sessions=3, retention_sessions=50, keep="largest"
)
CALM = [flat(close) for close in (100.0, 102.0, 100.0, 102.0, 100.0, 102.0, 100.0)]
"""Sessions 0 to 6; each true range from session 1 on is 2."""
EMPTY = pl.DataFrame(schema=RARE_EVENT_SCHEMA)


def traded(
    rows: Sequence[Bar | None], volumes: Sequence[float | None] | None = None, symbol: str = "AAA"
) -> pl.DataFrame:
    frame = bars(rows, symbol)
    given_volumes = [100.0] * len(rows) if volumes is None else list(volumes)
    kept = [volume for volume, row in zip(given_volumes, rows, strict=True) if row is not None]
    return frame.with_columns(volume=pl.Series(kept, dtype=pl.Float64))


def found(*frames: pl.DataFrame, config: RareEventArchiveConfig = CONFIG) -> list[tuple]:
    events = detect_rare_events(pl.concat(frames), config)
    assert dict(events.schema) == dict(RARE_EVENT_SCHEMA)
    return events.rows()


def calm_with(*symbols: str) -> list[pl.DataFrame]:
    """Calm symbols that keep the index from falling."""
    return [traded([flat(100.0)] * 12, symbol=symbol) for symbol in symbols]


def test_a_fall_of_a_tenth_is_a_crash_and_less_is_none():
    quiet = calm_with("XXX", "YYY", "ZZZ")
    at = traded([flat(100.0), flat(90.0)])
    assert found(at, *quiet) == [(session(1), "AAA", "crash", 0.1, 0.1)]
    assert found(traded([flat(100.0), flat(90.01)]), *quiet) == []
    assert found(traded([flat(90.0), flat(100.0)]), *quiet) == []


def test_a_fall_of_the_index_is_an_event_of_every_symbol_with_a_bar():
    # The index moves by the mean of the logs: sqrt(0.91 x 0.93) - 1 = -8.0 %.
    first = traded([flat(100.0), flat(91.0)], symbol="AAA")
    second = traded([flat(50.0), flat(46.5)], symbol="BBB")
    new = traded([None, flat(7.0)], symbol="CCC")
    gone = traded([flat(7.0), None], symbol="DDD")
    events = found(first, second, new, gone)
    fall = 1 - (0.91 * 0.93) ** 0.5
    assert [event[:3] for event in events] == [
        (session(1), symbol, "circuit_breaker") for symbol in ("AAA", "BBB", "CCC")
    ]
    assert [event[3] for event in events] == pytest.approx([fall] * 3)
    assert {event[4] for event in events} == {0.07}


def test_gap_range_and_volume_are_measured_by_the_sessions_before():
    last = (113.0, 114.0, 105.0, 106.0)
    volumes = [100.0, 100.0, 60.0, 140.0, 100.0, 80.0, 120.0, 500.0]
    events = found(traded([*CALM, last], volumes), *calm_with("XXX"))
    # Returns of sessions 2 to 6; the opening gap of session 7 is 13 %.
    returns = [100 / 102 - 1, 0.02, 100 / 102 - 1, 0.02, 100 / 102 - 1]
    assert [(day, kind) for day, _, kind, _, _ in events] == [
        (session(7), "gap"),
        (session(7), "volatility_spike"),
        (session(7), "volume_shock"),
    ]
    assert [event[3] for event in events] == pytest.approx(
        [0.13 / statistics.stdev(returns), (114 - 100) / 2, 500 / 100]
    )
    assert [event[4] for event in events] == [5.0, 4.0, 5.0]


def test_the_true_range_reaches_to_the_previous_close():
    # High less low is 3, but the low lies 9 under the close before: 9 / 2 is a spike.
    events = found(traded([*CALM, (94.0, 94.0, 91.0, 92.0)]), *calm_with("XXX"))
    spikes = [event for event in events if event[2] == "volatility_spike"]
    assert [(event[0], event[3]) for event in spikes] == [(session(7), pytest.approx(4.5))]


def test_an_event_raises_the_bar_only_for_the_sessions_after_it():
    rows = [flat(100.0)] * 9
    volumes = [100.0] * 6 + [500.0, 500.0, 900.0]
    # Means of the five volumes before: 100, 180, 260.
    events = found(traded(rows, volumes))
    assert [(day, magnitude) for day, _, _, magnitude, _ in events] == [(session(6), 5.0)]


def test_a_missing_bar_is_no_fall_and_leaves_no_full_window():
    quiet = calm_with("XXX", "YYY", "ZZZ")
    assert found(traded([flat(100.0), None, flat(60.0)]), *quiet) == []
    loud = [100.0] * 7 + [900.0]
    full = traded([*CALM, flat(100.0)], loud)
    assert [event[2] for event in found(full)] == ["volume_shock"]
    holed = [*CALM[:4], None, *CALM[5:], flat(100.0)]
    assert found(traded(holed, loud)) == []
    # The window of session 7 begins with session 2; a hole before it is no matter.
    early = [CALM[0], None, *CALM[2:], flat(100.0)]
    assert [event[2] for event in found(traded(early, loud))] == ["volume_shock"]
    unknown = [*loud[:3], None, *loud[4:]]
    assert found(traded([*CALM, flat(100.0)], unknown)) == []


def test_nothing_is_measured_in_units_of_nothing():
    still = traded([flat(100.0)] * 7 + [(104.0, 105.0, 104.0, 104.0)], [0.0] * 7 + [900.0])
    assert found(still) == []


def random_market(seed: int, *, sessions: int = 50) -> pl.DataFrame:
    """Three symbols with fat tails and holes."""
    rng = np.random.default_rng(seed)
    frames = []
    market = rng.standard_t(2, sessions) * 0.02
    for symbol in ("AAA", "BBB", "CCC"):
        close = 50 * np.exp(np.cumsum(market + rng.standard_t(2, sessions) * 0.015))
        open_ = np.append(50, close[:-1]) * np.exp(rng.standard_t(2, sessions) * 0.01)
        high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.01, sessions)))
        low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.01, sessions)))
        gone = rng.random(sessions) < 0.03
        prices = zip(open_, high, low, close, strict=True)
        rows = [None if hole else bar for hole, bar in zip(gone, prices, strict=True)]
        volume = 1000 * np.exp(rng.normal(0, 1, sessions))
        frames.append(traded(rows, volume.tolist(), symbol))
    return pl.concat(frames)


@given(st.integers(0, 2**32 - 1), st.integers(7, 48))
@settings(max_examples=15)
def test_later_bars_and_those_before_the_window_change_no_event(seed, cut):
    market = random_market(seed)
    whole = detect_rare_events(market, CONFIG)
    until = pl.col("session") <= session(cut)
    assert detect_rare_events(market.filter(until), CONFIG).equals(whole.filter(until))
    here = pl.col("session") == session(cut)
    reach = session(cut - CONFIG.window_sessions - 1)
    recent = market.filter(pl.col("session").is_between(reach, session(cut)))
    assert detect_rare_events(recent, CONFIG).filter(here).equals(whole.filter(here))


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(max_examples=15)
def test_the_scale_of_a_symbol_and_the_order_of_rows_change_nothing(seed, scale):
    market = random_market(seed)
    whole = detect_rare_events(market, CONFIG)
    shuffled = market.sample(fraction=1, shuffle=True, seed=seed)
    assert detect_rare_events(shuffled, CONFIG).equals(whole)
    prices = [pl.col(name) * scale for name in ("open", "high", "low", "close")]
    scaled = detect_rare_events(market.with_columns(*prices, pl.col("volume") / scale), CONFIG)
    assert scaled.drop("magnitude").equals(whole.drop("magnitude"))
    assert scaled["magnitude"].to_list() == pytest.approx(whole["magnitude"].to_list())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_events_reach_their_thresholds_and_come_in_order_once_each(seed):
    events = detect_rare_events(random_market(seed), CONFIG)
    assert (events["magnitude"] >= events["threshold"]).all()
    assert set(events["kind"]) <= set(RARE_EVENT_KINDS)
    key = events.select("session", "symbol", "kind")
    assert key.equals(key.unique().sort("session", "symbol", "kind"))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_a_symbol_alone_has_the_events_it_has_among_others_but_for_the_market_s(seed):
    market = random_market(seed)
    own = (pl.col("symbol") == "BBB") & (pl.col("kind") != "circuit_breaker")
    alone = detect_rare_events(market.filter(pl.col("symbol") == "BBB"), CONFIG)
    assert alone.filter(own).equals(detect_rare_events(market, CONFIG).filter(own))


def test_bars_that_lack_what_events_are_made_of_are_refused():
    frame = traded(CALM)
    with pytest.raises(ContractError, match="missing columns: high, volume"):
        detect_rare_events(frame.drop("volume", "high"), CONFIG)
    with pytest.raises(ContractError, match="doubled bars: symbol=AAA"):
        detect_rare_events(pl.concat([frame, frame.tail(1)]), CONFIG)
    with pytest.raises(ContractError, match="there is no bar"):
        detect_rare_events(frame.clear(), CONFIG)


def events_of(*rows: tuple[int, str, str, float], threshold: float = 1.0) -> pl.DataFrame:
    """Events of (number of the session, symbol, kind, size)."""
    listed = [
        {
            "session": session(at),
            "symbol": symbol,
            "kind": kind,
            "magnitude": size,
            "threshold": threshold,
        }
        for at, symbol, kind, size in rows
    ]
    return pl.DataFrame(listed, schema=RARE_EVENT_SCHEMA)


def archived(
    archive: pl.DataFrame,
    detected: pl.DataFrame,
    config: DynamicArchiveUpdatesConfig = ARCHIVE,
    as_of: int = 60,
    since: int = 35,
) -> list[tuple[int, str, float]]:
    kept = update_archive(archive, detected, config, as_of=session(as_of), since=session(since))
    assert dict(kept.schema) == dict(RARE_EVENT_SCHEMA)
    number = {session(at): at for at in range(200)}
    return [(number[day], symbol, size) for day, symbol, _, size, _ in kept.iter_rows()]


def test_events_of_a_symbol_and_kind_within_the_gap_are_one_the_largest():
    near = events_of((20, "A", "gap", 2.0), (23, "A", "gap", 3.0), (26, "A", "gap", 2.5))
    assert archived(EMPTY, near) == [(23, "A", 3.0)]
    apart = events_of((20, "A", "gap", 2.0), (24, "A", "gap", 3.0))
    assert archived(EMPTY, apart) == [(20, "A", 2.0), (24, "A", 3.0)]
    alike = events_of((20, "A", "gap", 2.0), (22, "A", "gap", 2.0))
    assert archived(EMPTY, alike) == [(20, "A", 2.0)]
    strangers = events_of((20, "A", "gap", 2.0), (21, "A", "crash", 3.0), (21, "B", "gap", 3.0))
    assert len(archived(EMPTY, strangers)) == 3


def test_what_the_middle_one_joined_is_two_when_the_ends_are_larger():
    ends = events_of((20, "A", "gap", 5.0), (22, "A", "gap", 2.0), (24, "A", "gap", 3.0))
    assert archived(EMPTY, ends) == [(20, "A", 5.0), (24, "A", 3.0)]


def test_new_events_join_the_archive_and_replace_what_they_measured_before():
    archive = events_of((20, "A", "gap", 2.0), (30, "B", "gap", 2.0))
    detected = events_of((30, "B", "gap", 1.5), (40, "A", "gap", 4.0))
    assert archived(archive, detected) == [(20, "A", 2.0), (30, "B", 1.5), (40, "A", 4.0)]
    assert archived(archive, EMPTY) == [(20, "A", 2.0), (30, "B", 2.0)]
    assert archived(EMPTY, EMPTY) == []


def test_what_is_detected_no_more_leaves_and_what_was_not_looked_at_stays():
    archive = events_of((34, "A", "gap", 2.0), (35, "B", "gap", 2.0), (60, "C", "gap", 2.0))
    assert archived(archive, EMPTY, since=35) == [(34, "A", 2.0)]
    assert archived(archive, events_of((60, "C", "gap", 1.2)), since=35) == [
        (34, "A", 2.0),
        (60, "C", 1.2),
    ]
    assert len(archived(archive, EMPTY, since=61)) == 3


def test_an_archived_event_crowds_out_no_detected_one():
    # Within the gap of it, and larger; beyond the capacity, and larger.
    archive = events_of((33, "A", "gap", 9.0), (20, "B", "gap", 9.0), (10, "B", "gap", 8.0))
    detected = events_of((35, "A", "gap", 2.0))
    assert archived(archive, detected) == [(10, "B", 8.0), (20, "B", 9.0), (35, "A", 2.0)]
    config = ARCHIVE.model_copy(update={"capacity_events": 2})
    assert archived(archive, detected, config) == [(20, "B", 9.0), (35, "A", 2.0)]
    config = ARCHIVE.model_copy(update={"capacity_events": 1})
    assert archived(archive, detected, config) == [(35, "A", 2.0)]


def test_the_span_looked_at_begins_with_the_first_full_window():
    # Session 1 has the first return and true range, session 5 the fifth.
    loud = [*CALM[:6], (120.0, 130.0, 100.0, 102.0)]
    quiet = calm_with("XXX")
    assert first_detectable_session(traded(loud), CONFIG) == session(6)
    assert {event[0] for event in found(traded(loud), *quiet)} == {session(6)}
    early = [*CALM[:5], (120.0, 130.0, 100.0, 102.0)]
    assert found(traded(early), *quiet) == []
    longer = CONFIG.model_copy(update={"window_sessions": 9})
    assert first_detectable_session(traded(loud), longer) == session(10)
    late = traded(loud).filter(pl.col("session") >= session(2))
    assert first_detectable_session(late, CONFIG) == session(8)
    assert first_detectable_session(pl.concat([late, *quiet]), CONFIG) == session(6)
    with pytest.raises(ContractError, match="there is no bar"):
        first_detectable_session(late.clear(), CONFIG)


def brought_up(
    archive: pl.DataFrame, market: pl.DataFrame, config: RareEventArchiveConfig = CONFIG
) -> pl.DataFrame:
    """The archive after an update by all the bars of a market."""
    return update_archive(
        archive,
        detect_rare_events(market, config),
        ARCHIVE,
        as_of=market["session"].max(),
        since=first_detectable_session(market, config),
    )


def test_a_split_that_arrives_late_leaves_no_crash_behind():
    halved = traded([*CALM, (50.0, 51.0, 49.0, 50.0), (50.0, 51.0, 49.0, 50.0)])
    quiet = calm_with("XXX", "YYY", "ZZZ")
    split = pl.col("session") >= session(7)
    adjusted = halved.with_columns(
        pl.when(split).then(pl.col(name) * 2).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    wrong = brought_up(EMPTY, pl.concat([halved, *quiet]))
    assert {"crash", "gap", "volatility_spike"} <= set(wrong["kind"])
    assert brought_up(wrong, pl.concat([adjusted, *quiet])).is_empty()


def test_a_threshold_that_is_raised_leaves_no_event_below_it():
    market = random_market(3)
    low = CONFIG.model_copy(update={"crash_return": 0.01})
    many = brought_up(EMPTY, market, low)
    fresh = brought_up(EMPTY, market)
    after = brought_up(many, market)
    looked_at = pl.col("session") >= first_detectable_session(market, CONFIG)
    assert many.filter(looked_at).height > fresh.filter(looked_at).height
    assert after.filter(looked_at).equals(fresh.filter(looked_at))
    assert set(after.filter(looked_at, pl.col("kind") == "crash")["threshold"]) <= {0.1}
    assert brought_up(after, market, low).equals(many)


def test_events_leave_when_they_are_older_than_is_retained():
    events = events_of((9, "A", "gap", 9.0), (10, "B", "gap", 2.0))
    assert archived(events, EMPTY, as_of=60) == [(10, "B", 2.0)]
    assert archived(EMPTY, events, as_of=61) == []


def test_nothing_after_the_session_counts_not_even_to_crowd_out():
    later = events_of((60, "A", "gap", 2.0), (61, "A", "gap", 9.0))
    assert archived(EMPTY, later, as_of=60) == [(60, "A", 2.0)]
    assert archived(later, EMPTY, as_of=60, since=62) == [(60, "A", 2.0)]
    assert archived(later, EMPTY, as_of=60) == []


def test_beyond_the_capacity_the_largest_multiples_of_their_thresholds_stay_or_the_newest():
    falls = events_of((20, "A", "crash", 0.3), (40, "B", "crash", 0.15), threshold=0.1)
    # 3, 1.5 and 1.1 times their thresholds.
    shocks = events_of((30, "C", "volume_shock", 5.5), threshold=5.0)
    config = ARCHIVE.model_copy(update={"capacity_events": 2})
    newest = config.model_copy(update={"keep": "newest"})
    events = pl.concat([falls, shocks])
    for old, new, since in ((EMPTY, events, 35), (events, EMPTY, 61)):
        largest = archived(old, new, config, since=since)
        assert largest == [(20, "A", 0.3), (40, "B", 0.15)]
        assert archived(old, new, newest, since=since) == [(30, "C", 5.5), (40, "B", 0.15)]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.sampled_from("AB"),
        st.sampled_from(["gap", "crash"]),
        st.integers(1, 4).map(float),
    ),
    max_size=14,
    unique_by=lambda row: row[:3],
)
CONFIGS = st.builds(
    DynamicArchiveUpdatesConfig,
    capacity_events=st.integers(1, 6),
    minimum_gap_sessions=st.integers(0, 4),
    retention_sessions=st.integers(5, 30),
    keep=st.sampled_from(["largest", "newest"]),
)


@given(ROWS, ROWS, CONFIGS, st.integers(0, 27))
@example(
    # The archived event is within the gap of the newer, smaller one; there is room for one.
    [(10, "A", "gap", 4.0)],
    [(12, "A", "gap", 1.0), (11, "B", "gap", 1.0)],
    DynamicArchiveUpdatesConfig(
        capacity_events=1, minimum_gap_sessions=3, retention_sessions=30, keep="newest"
    ),
    11,
)
@settings(max_examples=25)
def test_an_update_is_repeatable_and_keeps_what_an_empty_archive_would(old, new, config, since):
    days = {"as_of": session(26), "since": session(since)}
    archive, detected = events_of(*old), events_of(*new, threshold=0.5)
    once = update_archive(archive, detected, config, **days)
    assert update_archive(once, detected, config, **days).equals(once)
    shuffled = (frame.sample(fraction=1, shuffle=True, seed=1) for frame in (archive, detected))
    assert update_archive(*shuffled, config, **days).equals(once)
    fresh = update_archive(EMPTY, detected, config, **days)
    assert fresh.join(once, on=RARE_EVENT_SCHEMA.names(), how="anti").is_empty()
    looked_at = pl.col("session") >= session(since)
    assert once.filter(looked_at).equals(fresh.filter(looked_at))


@given(ROWS, ROWS, CONFIGS)
@settings(max_examples=25)
def test_the_archive_keeps_its_bounds_and_leaves_nothing_out_without_cause(old, new, config):
    days = {"as_of": session(26), "since": session(13)}
    frame = update_archive(events_of(*old), events_of(*new), config, **days)
    kept = archived(events_of(*old), events_of(*new), config, as_of=26, since=13)
    assert len(kept) <= config.capacity_events
    assert all(26 - config.retention_sessions <= at <= 26 for at, _, _ in kept)
    assert frame.equals(frame.sort("session", "symbol", "kind"))
    numbered = [(*row, kind) for row, kind in zip(kept, frame["kind"], strict=True)]
    for at, symbol, _, kind in numbered:
        others = [n for n, s, _, k in numbered if (s, k) == (symbol, kind) and n != at]
        assert all(abs(at - other) > config.minimum_gap_sessions for other in others)
    if len(kept) == config.capacity_events:
        return
    by_detected = {row[:3] for row in new}
    for is_new, (at, symbol, kind, size) in [(True, row) for row in new] + [
        (False, row) for row in old if row[0] < 13
    ]:
        if at < 26 - config.retention_sessions:
            continue
        assert any(
            (s, k) == (symbol, kind)
            and abs(n - at) <= config.minimum_gap_sessions
            and (m >= size or (not is_new and (n, s, k) in by_detected))
            for n, s, m, k in numbered
        )


EFFECTS: dict[str, object] = {
    "rare_event_archive.crash_return": 0.06,
    "rare_event_archive.circuit_breaker_return": 0.05,
    "rare_event_archive.gap_deviations": 2.0,
    "rare_event_archive.volatility_spike_ratio": 2.0,
    "rare_event_archive.volume_shock_ratio": 3.0,
    "rare_event_archive.window_sessions": 9,
    "dynamic_archive_updates.capacity_events": 2,
    "dynamic_archive_updates.minimum_gap_sessions": 0,
    "dynamic_archive_updates.retention_sessions": 40,
    "dynamic_archive_updates.keep": "newest",
}
"""Beside them `mix_ratio` and `maximum_weight`, which the weights of rows read."""


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_events_or_the_archive(key):
    section, name = key.split(".")
    configs = {
        "rare_event_archive": CONFIG,
        "dynamic_archive_updates": ARCHIVE.model_copy(update={"capacity_events": 3}),
    }
    changed = dict(configs)
    changed[section] = configs[section].model_copy(update={name: EFFECTS[key]})
    old = events_of((12, "A", "gap", 9.0), (25, "A", "gap", 6.0), (27, "A", "gap", 7.0))
    old = pl.concat([old, events_of((44, "B", "gap", 4.0), (45, "C", "gap", 5.0))])

    def outcome(sections: dict) -> tuple[pl.DataFrame, pl.DataFrame]:
        detected = detect_rare_events(random_market(3), sections["rare_event_archive"])
        rules = sections["dynamic_archive_updates"]
        return detected, update_archive(EMPTY, old, rules, as_of=session(60), since=session(6))

    which = list(configs).index(section)
    assert not outcome(changed)[which].equals(outcome(configs)[which])


def test_no_key_of_the_archive_is_without_its_effect():
    content = shipped("turbomode_training_config.json")
    keys = {f"dynamic_archive_updates.{name}" for name in content["dynamic_archive_updates"]}
    keys |= {f"rare_event_archive.{name}" for name in content["rare_event_archive"]}
    weights = {"rare_event_archive.mix_ratio", "rare_event_archive.maximum_weight"}
    assert set(EFFECTS) == keys - weights
