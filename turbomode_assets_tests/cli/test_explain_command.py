"""`turbomode explain` on a small simulated market: what is shown is what the stores hold."""

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from html import unescape

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from turbomode_assets.cli.explain import SHOWN_FEATURES, explain
from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble import load_ensemble, prediction_matrix
from turbomode_assets.ensemble.contributions import feature_contributions
from turbomode_assets.features import describe_features, feature_names
from turbomode_assets.modelling.signal_sources import SHOWN_BARS
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.promotions import promotions
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, HISTORY

SYMBOL = "SIM001"
NIGHT = SessionSpan(AS_OF, AS_OF)
P = ("p_sell", "p_hold", "p_buy")


@pytest.fixture(scope="module")
def _signalled(_trained_market, tmp_path_factory):
    root = tmp_path_factory.mktemp("signalled") / "market"
    shutil.copytree(_trained_market, root)
    run_assets(small_settings(root), ["signals"], NIGHT)
    return root


@pytest.fixture
def shared(_signalled, monkeypatch):
    """Settings of a market with one night's signals, for tests that only read it."""
    return use(small_settings(_signalled), monkeypatch)


@pytest.fixture
def market(_signalled, tmp_path, monkeypatch):
    """The same, yours to change."""
    shutil.copytree(_signalled, tmp_path / "market")
    return use(small_settings(tmp_path / "market"), monkeypatch)


def use(settings, monkeypatch):
    for name, value in (
        ("DATA_ROOT", settings.data_root),
        ("TENANT", settings.tenant),
        ("CONFIG_DIR", settings.config_dir),
    ):
        monkeypatch.setenv(f"TURBOMODE_{name}", value)
    monkeypatch.setenv("COLUMNS", "80")
    return settings


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def signal_of(settings):
    rows = lake_of(settings).read("predictions", caller="test", symbols=[SYMBOL]).rows
    return rows.row(0, named=True)


def model_of(settings):
    version = signal_of(settings)["model_version"]
    return Artifacts(settings.artifacts_root).model_folder(version) / ENSEMBLE


def run(*arguments):
    result = CliRunner().invoke(explain, [SYMBOL, str(AS_OF), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(kind, *arguments):
    error = CliRunner().invoke(explain, arguments or (SYMBOL, str(AS_OF))).exception
    assert isinstance(error, kind), error
    return error


def rows_of(output):
    return [line.split() for line in output.splitlines()]


def resign(settings, **changed):
    """Store the signal again with other values."""
    lake = lake_of(settings)
    rows = lake.read("predictions", caller="test", span=NIGHT).rows
    is_it = pl.col("symbol") == SYMBOL
    rows = rows.with_columns(
        pl.when(is_it).then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in changed.items()
    )
    lake.replace("predictions", rows, span=NIGHT, caller="test")


def test_the_terminal_shows_what_the_stores_hold_and_fits_80_columns(shared):
    output, signal = run(), signal_of(shared)
    shown = rows_of(output)
    assert max(map(len, output.splitlines())) <= 80
    assert shown[0] == [signal["signal"], SYMBOL, str(AS_OF), "vendor=simulated"]
    for name in P:
        assert [f"P({name[2:].upper()})", f"{signal[name]:.6f}"] in shown
    assert ["stack", *(f"{signal[name]:.6f}" for name in P)] in shown
    bars = lake_of(shared).read("bars", caller="test", symbols=[SYMBOL]).rows
    for bar in bars.tail(SHOWN_BARS).iter_rows(named=True):
        prices = [f"{bar[name]:.7g}" for name in ("open", "high", "low", "close")]
        volume = f"{bar['volume']:,.0f}"
        assert [str(bar["session"]), *prices, volume, "simulated", "GREEN"] in shown
    assert ["bars", "v1,", "dividends", "v1,"] in [
        row[1:5] for row in shown if row[:1] == ["tables"]
    ]
    assert [signal["config_digest"]] in shown
    assert ["feature", "set", signal["feature_digest"]] in shown
    (decision,) = promotions(ModelMemory(shared.memory_path, shared.tenant_name)).to_dicts()
    told = " ".join(output.split())
    version = f"{signal['model_version']} promoted from {AS_OF} on by gate: {decision['reason']}"
    assert f"{decision['decided_at'].astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC: {version}" in told
    assert f"{signal['signal']}, sent as the champion's" in told
    assert "BUY 0.5, SELL 0.5 (the configuration stored with the model)" in told
    assert "Probabilities, recorded with the signal" in told
    assert "outcome not known yet" in told
    ledger = MasterReader(shared.master_root).read(
        "partition_status", caller="test", span=NIGHT, symbols=[SYMBOL]
    )
    for row in ledger.rows.iter_rows(named=True):
        assert (
            f"ledger {AS_OF} {row['timeframe']}: {row['verdict']}, {row['actual_rows']} of" in told
        )


@pytest.mark.parametrize("asked", [[], ["--again"]], ids=["recorded", "again"])
def test_models_and_contributions_are_those_of_the_model_on_the_whole_market(shared, asked):
    output, signal = rows_of(run(*asked)), signal_of(shared)
    model = load_ensemble(model_of(shared))
    features = lake_of(shared).read("features", caller="test").rows
    matrix, keys = prediction_matrix(
        features, NIGHT, model.columns, model.families, look_back_sessions=model.look_back_sessions
    )
    at = keys.get_column("symbol").to_list().index(SYMBOL)
    for name, row in zip(model.models, model.base_probabilities(matrix)[at], strict=True):
        shown = next(each for each in output if each[:1] == [name])
        assert np.array(shown[1:], dtype=float) == pytest.approx(row, abs=1e-6)
    side = ["SELL", "HOLD", "BUY"].index(signal["signal"])
    added = feature_contributions(model.models, matrix)[at, side]
    formulas = dict(describe_features().select("name", "formula").iter_rows())
    own = features.filter(pl.col("symbol") == SYMBOL)
    for place in np.argsort(-np.abs(added), kind="stable")[:SHOWN_FEATURES]:
        name = model.columns[place]
        values = own.get_column(name).to_numpy()
        present, value = values[~np.isnan(values)], values[-1]
        percentile = 100 * ((present < value).sum() + (present == value).sum() / 2) / len(present)
        written = [f"{value:.6g}", f"{percentile:.1f}", "of", str(len(present))]
        line = output.index([name, *written, f"{added[place]:+.4f}"])
        note = " ".join(word for row in output[line + 1 : line + 6] for word in row)
        assert note.startswith(" ".join(formulas[name].split()))


def test_the_page_holds_the_same_and_a_picture(shared, tmp_path):
    page = tmp_path / "page.html"
    output = run("--html", str(page), "--top", "3")
    text = page.read_text(encoding="utf-8")
    words = set(unescape(re.sub(r"<[^>]*>", " ", text)).split())
    said = output[: output.index("written:")]
    assert {word for word in said.split() if len(word) < 60} <= words
    assert text.count('<div class="bars"') == 1
    assert text.count('<tr class="note">') == 3


def test_what_was_stored_since_changes_nothing(market):
    before, lake = run(), lake_of(market)
    for table, columns in (("bars", ("close", "low")), ("features", feature_names())):
        rows = lake.read(table, caller="test", span=NIGHT).rows
        rows = rows.with_columns((pl.col(*columns) * 0.9).cast(rows.schema[columns[0]]))
        version = lake.version(table)
        lake.replace(table, rows, span=NIGHT, caller="test")
        assert lake.version(table) > version
    assert run() == before


def test_a_hold_shows_both_sides_and_probabilities_that_differ_are_said_plainly(market):
    resign(market, signal="HOLD", p_sell=0.3, p_hold=0.4, p_buy=0.3, gate_override="halted")
    output = run("--again")
    told = " ".join(output.split())
    assert output.index("What moved BUY most") < output.index("What moved SELL most")
    assert "P(BUY) 0.3000 is below its threshold 0.5000 and equals P(SELL) 0.3000" in told
    assert "The stack's probabilities DIFFER from the stored ones" in told
    assert "gate override halted" in told
    assert "The rule gives" not in told


def test_a_signal_that_the_records_no_longer_fit_is_said_to_be_one(market):
    resign(market, signal="HOLD", config_digest="another")
    with ModelMemory(market.memory_path, market.tenant_name).transaction() as connection:
        connection.execute("DELETE FROM promotions")
    told = " ".join(run().split())
    for warning in (
        "but HOLD is stored",
        "was neither champion nor challenger of this session",
        "hold another configuration than the signal records",
    ):
        assert warning in told


def test_the_outcome_is_told_once_its_label_is_known(market):
    lake, known = lake_of(market), offset_session(AS_OF, 3)
    row = lake.read("labels", caller="test", span=HISTORY).rows.tail(1)
    label = row.with_columns(
        symbol=pl.lit(SYMBOL),
        session=pl.lit(known),
        decision_session=pl.lit(AS_OF),
        entry_session=pl.lit(offset_session(AS_OF, 1)),
        exit_session=pl.lit(known),
        label=pl.lit(0, dtype=pl.Int8),
        exit_reason=pl.lit("stop_loss"),
        entry_price=pl.lit(20.0),
        exit_price=pl.lit(19.0),
    ).with_columns(pl.lit(-0.05).alias("return"))
    lake.replace("labels", label, span=SessionSpan(known, known), caller="test")
    told = " ".join(run().split())
    assert f"outcome SELL (stop_loss), known on {known}: in at 20 on" in told
    assert f"out at 19 on {known}, return -5.00%" in told
    assert "labelled by another triple_barrier rule" in told


def test_a_signal_that_was_not_given_names_the_nearest_that_were(shared):
    before, after = (str(offset_session(AS_OF, by)) for by in (-1, 1))
    for session in (before, after, "2015-12-05"):
        error = refusal(MissingDataError, SYMBOL, session)
        assert error.what == f"there is no signal of {SYMBOL} for {session}"
        assert error.fix.endswith(f": {AS_OF}")
    assert SYMBOL in refusal(MissingDataError, "sim01", str(AS_OF)).fix


def test_an_altered_and_an_absent_model_are_refused_by_name(market):
    booster = model_of(market) / "lightgbm_gbdt" / "model.txt"
    booster.write_bytes(booster.read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    assert "lightgbm_gbdt/model.txt" in str(refusal(StoreError, SYMBOL, str(AS_OF), "--again"))
    version = signal_of(market)["model_version"]
    shutil.rmtree(model_of(market).parent)
    assert f"the files of model {version} are gone" in str(refusal(StoreError))


@pytest.mark.parametrize("table", ["features", "bars"])
def test_a_version_whose_rows_are_gone_is_named(market, table):
    for part in (market.root / "lake" / market.tenant_name / table).rglob("part-*.parquet"):
        part.unlink()
    error = refusal(MissingDataError)
    assert f"version 1 of {table}, which the signal was made from, cannot be read" in error.what


def test_a_page_that_cannot_be_written_is_refused(shared, tmp_path):
    page = tmp_path / "nowhere" / "page.html"
    error = refusal(InputError, SYMBOL, str(AS_OF), "--html", str(page))
    assert error.where == str(page)


def test_the_json_holds_what_the_terminal_says(shared):
    told = json.loads(run("--json"))
    assert told["title"].startswith(told["signal"]["signal"].split(",")[0])
    assert [row["model"] for row in told["probabilities"]][-1] == "stack"
    assert told["probabilities"][-1].keys() == {"model", "p_sell", "p_hold", "p_buy"}
    assert not told["check_failed"]


def test_what_was_recorded_and_what_is_computed_again_are_told_alike(shared):
    recorded, again = (json.loads(run("--json", *more)) for more in ([], ["--again"]))
    assert recorded["probabilities_source"] == "recorded with the signal"
    assert again["probabilities_source"] == "computed again from the stored features"
    assert "equal the stored ones" in again["check"]
    told_apart = {"probabilities_source", "check"}
    for part in recorded.keys() - told_apart:
        assert recorded[part] == again[part], part


def test_a_signal_of_before_its_reasons_were_recorded_is_computed_again(market):
    for table in ("model_probabilities", "contributions"):
        shutil.rmtree(market.root / "lake" / market.tenant_name / table)
    told = " ".join(run().split())
    assert "Probabilities, computed again from the stored features" in told
    assert "probabilities equal the stored ones" in told


def test_more_features_than_were_recorded_are_computed_again(shared):
    few, many = (json.loads(run("--json", "--top", str(top))) for top in (20, 21))
    assert few["probabilities_source"] == "recorded with the signal"
    assert many["probabilities_source"] == "computed again from the stored features"
    assert len(many["contributions"]) == len(few["contributions"]) * 21 // 20


def test_an_explanation_loads_no_model(shared):
    command = f"main(['explain', '{SYMBOL}', '{AS_OF}', '--json'], standalone_mode=False)"
    code = (
        f"import sys; from turbomode_assets.cli import main; {command};"
        "loaded = {'torch', 'sklearn', 'lightgbm', 'numba', 'dagster'} & set(sys.modules);"
        "print(loaded, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
    assert json.loads(done.stdout)["probabilities_source"] == "recorded with the signal"
