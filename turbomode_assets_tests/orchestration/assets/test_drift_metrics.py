"""Drift as the graph measures it: features, what the champion says, and how labels come out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets.alerts.data import drift
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.drift import drift_where_whole, freeze_predictions, outcome_values
from turbomode_assets.drift.levels import tell_move
from turbomode_assets.drift.reference import DriftReference
from turbomode_assets.features import feature_names
from turbomode_assets.nightly.platform import gather_drift
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import OUTCOME_REFERENCE, PREDICTION_REFERENCE
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.model_registry import champion_or_none
from turbomode_assets_tests.builders import run_assets
from turbomode_assets_tests.market import AS_OF

SPAN = SessionSpan(offset_session(AS_OF, -1), AS_OF)
SYMBOLS = 6
COLUMNS = ["p_sell", "p_hold", "p_buy"]


@pytest.fixture
def reigning(market):
    """A market whose champion has been in force for both sessions of SPAN."""
    with memory_of(market).transaction() as connection:
        connection.execute("UPDATE promotions SET effective_session = ?", [SPAN.first])
        connection.execute("UPDATE model_metadata SET as_of_session = ?", [SPAN.first])
    return market


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def champion_of(settings):
    return champion_or_none(memory_of(settings), AS_OF).model_version


def folder_of(settings):
    return Artifacts(settings.artifacts_root).model_folder(champion_of(settings))


def measured(settings, span=SPAN):
    """Materialize drift of a span; returns what the run says."""
    result = run_assets(settings, ["drift_metrics"], span)
    event = result.asset_materializations_for_node("drift_metrics")[-1]
    return {name: value.value for name, value in event.metadata.items()}


def drift_in(settings, subject):
    return memory_of(settings).query(
        "FROM drift_monitoring WHERE subject = ? ORDER BY session, feature", [subject]
    )


def verdicts_in(settings):
    return memory_of(settings).query("FROM drift_verdicts ORDER BY session")


def forecasts(count, seed=1):
    """So many sessions of forecasts up to AS_OF, one for each symbol."""
    days = SessionSpan(offset_session(AS_OF, 1 - count), AS_OF).sessions
    said = np.random.default_rng(seed).dirichlet((5, 1, 4), size=count * SYMBOLS)
    return pl.DataFrame(said, schema=COLUMNS).with_columns(
        pl.Series("session", [day for day in days for _ in range(SYMBOLS)]),
        pl.Series("symbol", [f"SIM{number:03d}" for number in range(SYMBOLS)] * count),
    )


def freeze(settings):
    reference = freeze_predictions(forecasts(240), settings.training().drift_detection)
    reference.save(folder_of(settings) / PREDICTION_REFERENCE)
    return reference


def say(settings, rows, *, role="champion"):
    """Let the champion have said this, in that role."""
    filled = ("signal", "feature_digest", "config_digest", "store_versions", "vendor")
    rows = rows.with_columns(
        *(pl.lit("HOLD").alias(name) for name in filled),
        model_version=pl.lit(champion_of(settings)),
        role=pl.lit(role),
    )
    with memory_of(settings).transaction() as connection:
        connection.register("rows", rows)
        connection.execute("INSERT INTO signal_history BY NAME FROM rows")


def test_features_leave_their_figures_and_a_verdict_for_each_session(reigning):
    measured(reigning)
    summed = memory_of(reigning).query(
        "SELECT session, any_value(model_version) AS model_version, count(*)::INTEGER AS features,"
        " count_if(exceeds)::INTEGER AS exceeding FROM drift_monitoring"
        " WHERE subject = 'feature' GROUP BY session ORDER BY session"
    )
    verdicts = verdicts_in(reigning)
    assert verdicts["session"].to_list() == SPAN.sessions
    assert verdicts["features"].unique().to_list() == [len(feature_names())]
    assert verdicts.select(summed.columns).equals(summed)
    share = reigning.training().drift_detection.alarm_share
    assert verdicts["retrain"].equals(verdicts["share"] >= share)
    figures = drift_in(reigning, "feature").select("psi", "kl", "ks", "psi_maximum", "kl_maximum")
    assert figures.null_count().sum_horizontal().item() == 0


def test_labels_known_up_to_a_session_are_held_against_those_learned_from(reigning):
    told = measured(reigning)
    found = drift_in(reigning, "outcome")
    assert found["feature"].unique().sort().to_list() == [
        "label_buy",
        "label_hold",
        "label_return",
        "label_sell",
    ]
    lake = Lake(reigning.lake_root, reigning.tenant_name, lake_tables(feature_names()))
    window = SPAN.trailing(reigning.training().drift_detection.window_sessions - 1)
    universe = MasterReader(reigning.master_root).read("symbol_metadata", caller="test").rows
    stocks = universe.filter(pl.col("role") == "tradeable")["symbol"].to_list()
    labels = lake.read("labels", caller="test", span=window).rows
    labels = labels.filter(pl.col("symbol").is_in(stocks))
    expected, lacking = drift_where_whole(
        DriftReference.load(folder_of(reigning) / OUTCOME_REFERENCE),
        outcome_values(labels),
        SPAN,
        reigning.training().drift_detection,
        made=window.sessions,
    )
    assert not lacking
    expected = expected.sort("session", "feature")
    for name in ("psi", "kl", "ks", "psi_maximum", "exceeds", "rows"):
        assert found[name].to_list() == expected[name].to_list(), name
    verdicts = verdicts_in(reigning)["outcomes_verdict"]
    assert set(verdicts) <= {"stable", "alert"}
    assert told["outcomes_verdict"] == verdicts[-1]
    assert Path(told["subjects_picture_file"]).read_bytes().startswith(b"\x89PNG")
    assert "outcomes_not_judged" not in told


def test_only_what_was_learned_from_is_held_against_it_and_no_benchmark(reigning):
    master = MasterReader(reigning.master_root).read("symbol_metadata", caller="test").rows
    lake = Lake(reigning.lake_root, reigning.tenant_name, lake_tables(feature_names()))
    window = SPAN.trailing(reigning.training().drift_detection.window_sessions - 1)
    before = {
        table: lake.read(table, caller="test", span=window, columns=["symbol", "session"]).rows
        for table in ("features", "labels")
    }
    benchmark = before["features"]["symbol"][0]
    role = pl.when(pl.col("symbol") == benchmark).then(pl.lit("benchmark")).otherwise("role")
    writer = MasterWriter(reigning.master_root)
    changed, symbols = master.with_columns(role=role), master["symbol"].to_list()
    writer.replace("symbol_metadata", changed, span=None, symbols=symbols, caller="test")
    measured(reigning, SessionSpan(AS_OF, AS_OF))
    for table, subject in (("features", "feature"), ("labels", "outcome")):
        rows = before[table].filter(pl.col("session") > window.first)
        held = rows.filter(pl.col("symbol") != benchmark)
        assert held.height < rows.height
        assert drift_in(reigning, subject)["rows"].unique().to_list() == [held.height]


def test_a_champion_without_references_gets_no_verdict_and_the_reason_is_told(reigning):
    (folder_of(reigning) / OUTCOME_REFERENCE).unlink()
    told = measured(reigning)
    verdicts = verdicts_in(reigning)
    for subject, what in (("outcomes", "how labels came out"), ("predictions", "what it says")):
        assert verdicts[f"{subject}_verdict"].to_list() == [None, None]
        assert f"{subject}_verdict" not in told
        reason = told[f"{subject}_not_judged"]
        assert reason.startswith(f"2 sessions; the last, {AS_OF}: {champion_of(reigning)}")
        assert reason.endswith(f"stored without a reference of {what}")
    assert verdicts["verdict"].null_count() == 0
    assert drift_in(reigning, "outcome").is_empty()


@pytest.mark.parametrize(("collapsed", "verdict"), [(False, "stable"), (True, "alert")])
def test_what_the_champion_says_is_held_against_its_frozen_forecasts(reigning, collapsed, verdict):
    freeze(reigning)
    said = forecasts(21, seed=2)
    if collapsed:
        said = said.with_columns(p_sell=pl.lit(0.5), p_hold=pl.lit(0.1), p_buy=pl.lit(0.4))
    # A window reaches into the time when it was the challenger.
    say(reigning, said.filter(pl.col("session") < SPAN.first), role="challenger")
    say(reigning, said.filter(pl.col("session") >= SPAN.first))
    told = measured(reigning)
    assert told["predictions_verdict"] == verdict
    verdicts, ranged = verdicts_in(reigning), drift_in(reigning, "prediction")
    assert verdicts["predictions_verdict"].to_list() == [verdict] * 2
    assert ranged["rows"].unique().to_list() == [20 * SYMBOLS]
    # Predictions tell people; only features ask for a training.
    assert verdicts["retrain"].equals(verdicts["share"] >= 0.05)
    for session in SPAN.sessions:
        measured(reigning, SessionSpan(session, session))
    assert drift_in(reigning, "prediction").equals(ranged)
    assert verdicts_in(reigning).equals(verdicts)


def test_what_moved_is_told_and_so_is_a_reference_that_knows_no_levels(reigning):
    reference = freeze(reigning)
    late = pl.col("session") >= SPAN.first
    values = {"p_sell": 0.05, "p_hold": 0.05, "p_buy": 0.9}
    say(
        reigning,
        forecasts(21).with_columns(
            pl.when(late).then(value).otherwise(name).alias(name) for name, value in values.items()
        ),
    )
    told = measured(reigning)
    assert told["predictions_verdict"] == "alert"
    assert f"{AS_OF} p_buy: mean 0." in told["predictions_moved"]
    moved = drift_in(reigning, "prediction").filter(session=AS_OF, feature="p_buy")
    assert (moved["verdict"].item(), moved["moved"].item()) == ("alert", True)
    # Whoever reads the verdict finds its reason: in memory, on the page and in the alert.
    row = moved.row(0, named=True)
    assert row["step"] > row["step_limit"] or row["mean"] > row["mean_most"]
    page = gather_drift(memory_of(reigning), AS_OF, 0.05)
    assert [(each.feature, each.moved) for each in page.levels] == [
        ("p_buy", True),
        ("p_sell", True),
    ]
    assert page.levels[0].mean == row["mean"]
    assert {each.subject for each in page.worst[:2]} == {"prediction"}
    (condition,) = drift(reigning)
    assert f"; {tell_move(row)}" in condition.detail
    assert condition.remedy.startswith("no training follows")
    assert "predictions_levels" not in told
    replace(reference, levels=None).save(folder_of(reigning) / PREDICTION_REFERENCE)
    told = measured(reigning)
    assert "predictions_moved" not in told
    assert told["predictions_levels"].startswith(f"{champion_of(reigning)} was stored without")


def test_a_night_without_signals_leaves_the_verdict_open_and_is_counted(reigning):
    freeze(reigning)
    gone = offset_session(AS_OF, -5)
    say(reigning, forecasts(21).filter(pl.col("session") != gone))
    told = measured(reigning)
    assert verdicts_in(reigning)["predictions_verdict"].to_list() == [None, None]
    reason = told["predictions_not_judged"]
    assert f"signals of {champion_of(reigning)}: 1 of the 20 sessions up to it" in reason
    assert drift_in(reigning, "prediction").is_empty()


def test_signals_and_labels_of_other_models_and_rules_say_nothing_of_the_champion(reigning):
    freeze(reigning)
    say(reigning, forecasts(21))
    with memory_of(reigning).transaction() as connection:
        connection.execute("UPDATE signal_history SET model_version = 'another'")
        connection.execute(
            "UPDATE training_runs SET configuration ="
            " replace(configuration, '\"horizon_sessions\": 14', '\"horizon_sessions\": 10')"
        )
    told = measured(reigning)
    assert "20 of the 20 sessions up to it are absent" in told["predictions_not_judged"]
    assert "labels by the rule of" in told["outcomes_not_judged"]
    assert verdicts_in(reigning)["outcomes_verdict"].to_list() == [None, None]
