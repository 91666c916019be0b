"""Outcomes as the graph settles them: over stored signals and the labels that became known."""

import polars as pl

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.model_registry import champion_or_none
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, NIGHT

SPAN = SessionSpan(offset_session(AS_OF, -16), offset_session(AS_OF, -15))
"""All that is signalled before its end is due by AS_OF."""
SIDES = {"SELL": -1, "HOLD": None, "BUY": 1}


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def labels_known(settings, span):
    return lake_of(settings).read("labels", caller="test", span=span).rows


def signal(settings, decisions, *, model=None, role="champion"):
    """Store a signal for each symbol and decision session, sides by turns."""
    memory = memory_of(settings)
    rows = decisions.select(
        "symbol",
        session=pl.col("decision_session"),
        signal=pl.Series((["BUY", "SELL", "HOLD"] * decisions.height)[: decisions.height]),
        model_version=pl.lit(model or champion_or_none(memory, AS_OF).model_version),
        role=pl.lit(role),
    ).with_columns(
        *(pl.lit(p).alias(name) for name, p in (("p_sell", 0.3), ("p_hold", 0.3), ("p_buy", 0.4))),
        *(
            pl.lit(name).alias(name)
            for name in ("feature_digest", "config_digest", "store_versions", "vendor")
        ),
    )
    with memory.transaction() as connection:
        connection.register("rows", rows)
        connection.execute("INSERT INTO signal_history BY NAME FROM rows")


def settle(settings, span):
    """Run the asset; returns what its run says."""
    result = run_assets(settings, ["outcomes"], span)
    return {
        name: value.value
        for name, value in result.asset_materializations_for_node("outcomes")[-1].metadata.items()
    }


def outcomes_in(settings):
    return memory_of(settings).query("FROM signal_outcomes ORDER BY session, symbol, model_version")


def failure_of(result):
    events = [event for event in result.all_events if event.is_step_failure]
    return "\n".join(event.step_failure_data.error.to_string() for event in events)


def test_a_range_and_its_nights_settle_the_same_signals_as_the_labels_say(market):
    known = labels_known(market, SPAN)
    signal(market, known)
    told = settle(market, SPAN)
    ranged = outcomes_in(market)
    assert ranged.height == known.height
    assert told["unsettled"] == 0
    joined = ranged.join(
        known, left_on=["symbol", "session"], right_on=["symbol", "decision_session"]
    )
    side = joined["signal"].replace_strict(SIDES, return_dtype=pl.Int8)
    assert joined["return"].equals(joined["return_right"] * side)
    for name in ("label", "exit_reason", "exit_session", "exit_price"):
        assert joined[name].equals(joined[f"{name}_right"]), name
    assert joined["known_session"].equals(joined["session_right"])
    settle(market, SPAN)
    assert outcomes_in(market).equals(ranged)
    figures = settle(market, SessionSpan(AS_OF, AS_OF))
    assert outcomes_in(market).equals(ranged)
    for by in ("all", "side", "confidence", "hold_confidence", "regime"):
        assert f"figures_by_{by}" in figures
    positions = ranged.filter(pl.col("signal") != "HOLD").height
    assert f"| positions | {positions} |" in figures["figures_by_all"]
    assert not [name for name in figures if name.startswith("challenger")]
    with memory_of(market).transaction() as connection:
        connection.execute("DELETE FROM signal_outcomes")
    for session in SPAN.sessions:
        settle(market, SessionSpan(session, session))
    assert outcomes_in(market).equals(ranged)


def test_every_old_signal_has_an_outcome_or_is_named_with_the_reason(market):
    memory = memory_of(market)
    champion = champion_or_none(memory, AS_OF).model_version
    with memory.transaction() as connection:
        connection.execute(
            "INSERT INTO training_runs SELECT * REPLACE ('other' AS model_version, replace("
            "configuration, '\"horizon_sessions\": 14', '\"horizon_sessions\": 10')"
            " AS configuration) FROM training_runs"
        )
    known = labels_known(market, SessionSpan(AS_OF, AS_OF))
    signal(market, known)
    signal(market, known, model="other", role="challenger")
    old = offset_session(AS_OF, -20)
    stray = known.head(1).with_columns(symbol=pl.lit("GONE"), decision_session=pl.lit(old))
    signal(market, stray)
    signal(market, stray, model="nobody's")
    signal(market, known.head(1).with_columns(decision_session=pl.lit(AS_OF)))
    told = settle(market, SessionSpan(AS_OF, AS_OF))
    settled = outcomes_in(market)
    assert settled["model_version"].unique().to_list() == [champion]
    assert settled.height == known.height
    due = known.filter(pl.col("decision_session") <= offset_session(AS_OF, -11)).height
    assert due > 0
    assert told["unsettled"] == due + 2
    reasons = told["unsettled_reasons"]
    assert f"| the labels follow another rule than its model's | {due} |" in reasons
    assert "| no label: no bar to enter at, or no volatility to set barriers by | 1 |" in reasons
    assert "| no label rule was recorded with its model | 1 |" in reasons
    assert f"| {champion} | {old} |" in told["unsettled_signals"]
    assert "GONE" in told["unsettled_signals"]


def test_a_signal_of_a_night_that_was_left_out_is_named_until_that_night_is_settled(market):
    night = offset_session(AS_OF, -15)
    left_out = labels_known(market, SessionSpan(night, night))
    assert left_out.height
    signal(market, left_out)
    told = settle(market, SessionSpan(AS_OF, AS_OF))
    assert told["unsettled"] == left_out.height
    assert "its label is known; outcomes were not materialized since" in told["unsettled_reasons"]
    settle(market, SessionSpan(night, night))
    assert settle(market, SessionSpan(AS_OF, AS_OF))["unsettled"] == 0


def test_without_labels_of_a_session_nothing_is_settled_and_the_remedy_is_named(market, tmp_path):
    empty = small_settings(tmp_path / "empty")
    for settings in (market, empty):
        result = run_assets(settings, ["outcomes"], SessionSpan(NIGHT, NIGHT), raise_on_error=False)
        assert f"--select labels --partition-range {NIGHT}...{NIGHT}" in failure_of(result)
