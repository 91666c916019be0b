"""A night with a champion and a challenger in shadow, as the graph runs it."""

import dataclasses
import datetime as dt
import json
import shutil

import polars as pl
import pytest

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble import load_ensemble
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.signals.release import in_challenger_share
from turbomode_assets.stores import Artifacts, Lake, ModelMemory
from turbomode_assets.stores.active_signals import active_signals
from turbomode_assets.stores.artifacts import DRIFT_REFERENCE, ENSEMBLE
from turbomode_assets.stores.model_registry import champion_or_none, record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, DERIVED, HISTORY, INGESTION, NIGHT
from turbomode_assets_tests.orchestration.assets.test_audit import audit, candles_at, put
from turbomode_assets_tests.orchestration.assets.test_gate import run, with_threshold
from turbomode_assets_tests.orchestration.assets.test_graph import failure_of
from turbomode_assets_tests.stores.model_rows import performance, record_of

SHADOW_SESSIONS = 2
EFFECTIVE = offset_session(AS_OF, SHADOW_SESSIONS)


@pytest.fixture(scope="module")
def _two_nights(_trained_market, tmp_path_factory):
    root = tmp_path_factory.mktemp("nights") / "market"
    shutil.copytree(_trained_market, root)
    run_assets(small_settings(root), INGESTION + DERIVED, SessionSpan(NIGHT, EFFECTIVE))
    return root


@pytest.fixture
def market(_two_nights, tmp_path):
    """The trained market with all that signals of two more sessions need."""
    shutil.copytree(_two_nights, tmp_path / "market")
    return small_settings(tmp_path / "market")


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def rows_of(settings, table, session):
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    return lake.read(table, caller="test", span=SessionSpan(session, session)).rows


def challenge(settings, ab_share):
    """Promote a twin of the champion that takes effect two sessions later; name both."""
    memory, artifacts = memory_of(settings), Artifacts(settings.artifacts_root)
    champion = champion_or_none(memory, AS_OF)
    files = artifacts.model_folder(champion.model_version)
    model = load_ensemble(files / ENSEMBLE)
    gate = model.configuration["model_promotion_gate"] | {"ab_share": ab_share}
    configuration = dict(model.configuration) | {"model_promotion_gate": gate}
    twin = artifacts.new_model_folder("twin")
    dataclasses.replace(model, configuration=configuration).save(twin / ENSEMBLE)
    shutil.copy(files / DRIFT_REFERENCE, twin / DRIFT_REFERENCE)
    decision = gate_decision(
        "twin",
        AS_OF,
        passed=True,
        reason="all rules passed",
        rules="[]",
        shadow_sessions=SHADOW_SESSIONS,
        at=dt.datetime(2015, 12, 2, tzinfo=dt.UTC),
    )
    record = record_of("twin", AS_OF, feature_digest=champion.feature_digest)
    record_model(memory, record, performance(), decision=decision)
    return champion.model_version, "twin"


def metadata_of(result):
    return next(
        event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization and event.asset_key.to_user_string() == "signals"
    )


def test_both_models_predict_and_the_share_decides_whose_signals_go_out(market):
    ab_share = 0.5
    champion, challenger = challenge(market, ab_share)
    result = run_assets(market, ["signals"], SessionSpan(NIGHT, NIGHT))
    sent = rows_of(market, "predictions", NIGHT)
    shadow = rows_of(market, "shadow_predictions", NIGHT)
    senders = dict(sent.select("symbol", "model_version").iter_rows())
    assert senders == {
        symbol: challenger if in_challenger_share(symbol, ab_share) else champion
        for symbol in senders
    }
    assert len(set(senders.values())) == 2
    assert shadow["model_version"].unique().to_list() == [challenger]
    # The twin has the champion's own models: it says the same of every symbol.
    said = ["symbol", "signal", "p_buy", "p_sell"]
    assert shadow.select(said).equals(sent.select(said))
    history = memory_of(market).query(
        "SELECT model_version, role, count(*) AS n FROM signal_history GROUP BY ALL ORDER BY role"
    )
    assert history.rows() == [
        (challenger, "challenger", sent.height),
        (champion, "champion", sent.height),
    ]
    active = active_signals(memory_of(market)).sort("symbol")
    assert active["model_version"].to_list() == [senders[symbol] for symbol in active["symbol"]]
    assert metadata_of(result)["challengers"].value == challenger


def test_a_range_over_the_end_of_the_shadow_period_changes_hands_in_it(market):
    champion, challenger = challenge(market, 0.0)
    run_assets(market, ["signals"], SessionSpan(NIGHT, EFFECTIVE))
    for session, sender in ((NIGHT, champion), (EFFECTIVE, challenger)):
        assert rows_of(market, "predictions", session)["model_version"].unique().item() == sender
    assert rows_of(market, "shadow_predictions", NIGHT).height
    assert rows_of(market, "shadow_predictions", EFFECTIVE).is_empty()


def test_a_challenger_that_fails_keeps_no_signal_of_the_champion_back(market):
    champion, challenger = challenge(market, 1.0)
    shutil.rmtree(Artifacts(market.artifacts_root).model_folder(challenger))
    result = run_assets(market, ["signals"], SessionSpan(NIGHT, NIGHT))
    sent = rows_of(market, "predictions", NIGHT)
    assert sent.filter(pl.col("model_version") != champion).is_empty()
    left_out = metadata_of(result)["challengers_left_out"].value
    assert left_out.startswith(f"{challenger}: the files of model {challenger} are gone")
    assert "challengers" not in metadata_of(result)


def look_back_further(settings, challenger, sessions):
    """Let a challenger read features of more sessions than the champion does."""
    folder = Artifacts(settings.artifacts_root).model_folder(challenger) / ENSEMBLE
    model = load_ensemble(folder)
    shutil.rmtree(folder)
    configuration = json.loads(json.dumps(model.configuration))
    configuration["ensemble_config"]["models"]["gru"]["sequence_sessions"] = sessions
    dataclasses.replace(model, configuration=configuration).save(folder)


@pytest.mark.parametrize("reason", [None, "nobody traded it"])
def test_a_hole_that_only_the_challenger_looks_back_on_keeps_it_alone_back(market, reason):
    champion, challenger = challenge(market, 1.0)
    look_back_further(market, challenger, 60)
    hole, symbol = HISTORY.sessions[1], "SIM001"
    put(market, symbol, hole, candles_at(market, symbol, hole).clear())
    audit(market, hole)
    result = run(with_threshold(market, 0.999), ["signals"], NIGHT, override=reason)
    assert result.success, failure_of(result)
    sent = rows_of(market, "predictions", NIGHT)
    assert sent["model_version"].unique().to_list() == [champion]
    assert sent["gate_override"].null_count() == sent.height
    left_out = metadata_of(result)["challengers_left_out"].value
    assert left_out.startswith(f"{challenger}: ")
    assert f"turbomode backfill --from {hole} --to {hole} --symbols {symbol}" in left_out
