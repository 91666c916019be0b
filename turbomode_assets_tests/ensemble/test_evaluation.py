import json
import math
from types import MappingProxyType
from typing import get_args

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from turbomode_assets.config.judging import (
    BaseModelName,
    SectorSymbolTrackingConfig,
    ValidationStrategyConfig,
)
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ensemble.evaluation import (
    combinatorial_evaluation,
    compare_on_same_rows,
    evaluate,
)
from turbomode_assets.validation import (
    classification_report,
    daily_results,
    deflated_sharpe_ratio,
    expected_calibration_error,
    paired_improvement,
    probabilistic_sharpe_ratio,
    row_log_losses,
    session_demeaned_returns,
    sharpe_moments,
)
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.validation.builders import make_calendar

BASE = get_args(BaseModelName)
SYMBOLS, SESSIONS, HELD = 12, 90, 5
SHARES = np.array([0.4, 0.25, 0.35])

CONTENT = shipped("turbomode_training_config.json")
STRATEGY = ValidationStrategyConfig.model_validate(
    CONTENT["validation_strategy"] | {"cscv": {"blocks": 8, "maximum_splits": 70}}
)
TRACKING = SectorSymbolTrackingConfig.model_validate(CONTENT["sector_symbol_tracking"])

EFFECTS: dict[str, object] = {
    "validation_strategy.cscv.blocks": 6,
    "validation_strategy.cscv.maximum_splits": 10,
    "sector_symbol_tracking.minimum_rows": 500,
    "sector_symbol_tracking.minimum_class_share": 0.3,
    "sector_symbol_tracking.minimum_coverage": 0.5,
}


def make_market(seed=4):
    """Bars of a made-up market, and rows that hold each symbol for a few sessions."""
    random = np.random.default_rng(seed)
    calendar = pl.Series(make_calendar(SESSIONS), dtype=pl.Date)
    moves = random.normal(0, 0.02, (SYMBOLS, SESSIONS)) + random.normal(0, 0.01, SESSIONS)
    close = 100 * np.exp(np.cumsum(moves, axis=1))
    names = np.array([f"S{at:02d}" for at in range(SYMBOLS)])
    daily = pl.DataFrame(
        {
            "symbol": np.repeat(names, SESSIONS),
            "session": calendar.gather(np.tile(np.arange(SESSIONS), SYMBOLS)),
            "close": close.ravel(),
        }
    )
    decided = np.tile(np.arange(20, SESSIONS - HELD - 1), SYMBOLS)
    at = np.repeat(np.arange(SYMBOLS), len(decided) // SYMBOLS)
    entry, exit_price = close[at, decided + 1], close[at, decided + 1 + HELD]
    reached = exit_price / entry - 1
    label = np.where(reached > 0.03, 2, np.where(reached < -0.03, 0, 1))
    rows = pl.DataFrame(
        {
            "symbol": names[at],
            "decision_session": calendar.gather(decided),
            "entry_session": calendar.gather(decided + 1),
            "exit_session": calendar.gather(decided + 1 + HELD),
            "session": calendar.gather(decided + 1 + HELD),
            "label": pl.Series(label, dtype=pl.Int8),
            "exit_reason": np.array(["stop_loss", "expiry", "profit_take"])[label],
            "entry_price": entry,
            "exit_price": exit_price,
            "return": reached,
            "regime": np.where(decided < 50, "bull", "bear"),
            "sector": np.array(["tech", "banks", None], dtype=object)[at % 3],
        },
        schema_overrides={"sector": pl.String},
    )
    return rows, daily


ROWS, DAILY = make_market()
LABELS = ROWS["label"].to_numpy()
TRAINING_SHARES = np.where((ROWS["regime"] == "bull").to_numpy()[:, None], SHARES, SHARES[::-1])


def make_forecast(strength, seed):
    """Probabilities that know the label as well as `strength` says."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 0.3, (len(LABELS), 3)) + strength * np.eye(3)[LABELS]
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def constant():
    return np.tile(SHARES, (len(LABELS), 1))


FORECASTS = {name: make_forecast(0.02 * at, at) for at, name in enumerate(BASE)} | {
    "ensemble": make_forecast(0.2, 99)
}


def judge(
    forecasts=FORECASTS,
    *,
    rows=ROWS,
    daily=DAILY,
    strategy=STRATEGY,
    tracking=TRACKING,
    trials=MappingProxyType({}),
    without=None,
):
    shares = TRAINING_SHARES[: rows.height]
    return evaluate(
        rows, forecasts, shares, daily, strategy, tracking, trials=trials, without=without
    )


def judge_with_a_gap(strategy=STRATEGY, tracking=TRACKING):
    """S01 has no forecast in the bull market."""
    is_gap = (pl.col("symbol") == "S01") & (pl.col("regime") == "bull")
    kept = ROWS.with_row_index().filter(~is_gap)
    picked = kept["index"].to_numpy()
    forecasts = {name: forecast[picked] for name, forecast in FORECASTS.items()}
    shares = TRAINING_SHARES[picked]
    return evaluate(kept.drop("index"), forecasts, shares, DAILY, strategy, tracking, trials={})


@pytest.fixture(scope="module")
def judged():
    return judge()


def few(*rows):
    """An evaluation of rows of (probabilities, label) of one session."""
    forecast = np.array([probabilities for probabilities, _ in rows])
    labels = np.array([label for _, label in rows])
    frame = ROWS.filter(pl.col("decision_session") == ROWS["decision_session"][0])[: len(rows)]
    frame = frame.with_columns(
        label=pl.Series(labels, dtype=pl.Int8),
        exit_reason=pl.Series(np.array(["stop_loss", "expiry", "profit_take"])[labels]),
    )
    return judge(dict.fromkeys((*BASE, "ensemble"), forecast), rows=frame)


def test_figures_of_calls_are_hand_worked():
    figures = few(
        ((0.6, 0.2, 0.2), 0),
        ((0.5, 0.2, 0.3), 2),
        ((0.2, 0.2, 0.6), 2),
        ((0.2, 0.5, 0.3), 2),
        ((0.1, 0.7, 0.2), 1),
    ).figures
    assert (figures["rows"], figures["sessions"]) == (5, 1)
    assert figures["accuracy"] == 0.6
    # Training shares of 0.4, 0.25, 0.35: SELL is always named, and is right once.
    assert figures["base_rate"] == 0.2
    assert figures["accuracy_gain"] == pytest.approx(0.4)
    # SELL right in 1 of 2 calls, BUY in 1 of 1; a fifth and three fifths of the labels.
    assert figures["precision"] == 0.75
    assert figures["precision_gain"] == pytest.approx(0.75 - 0.4)
    # SELL 1 of 1, BUY 1 of 3.
    assert figures["recall"] == pytest.approx(2 / 3)
    came_true = [0.6, 0.3, 0.6, 0.3, 0.7]
    assert figures["log_loss"] == pytest.approx(-np.log(came_true).mean())
    base = -np.log([0.4, 0.35, 0.35, 0.35, 0.25]).mean()
    assert figures["base_log_loss"] == pytest.approx(base)
    assert figures["log_loss_gain"] == pytest.approx(base + np.log(came_true).mean())


def test_a_side_never_called_has_no_precision_and_a_side_without_labels_no_recall():
    figures = few(((0.6, 0.2, 0.2), 0), ((0.3, 0.5, 0.2), 2), ((0.6, 0.3, 0.1), 0)).figures
    assert figures["precision"] == 0.5
    assert figures["precision_gain"] == pytest.approx(0)
    assert figures["recall"] == 0.5
    one_sided = few(((0.6, 0.2, 0.2), 0), ((0.2, 0.3, 0.5), 0)).figures
    assert one_sided["recall"] is None
    assert one_sided["auc_buy_vs_sell"] is None


def test_figures_and_tables_are_those_of_the_validation_functions(judged):
    forecast = FORECASTS["ensemble"]
    report = classification_report(
        forecast,
        LABELS,
        training_shares=TRAINING_SHARES,
        exit_reasons=ROWS["exit_reason"].to_numpy().astype(str),
    )
    for name in ("accuracy", "base_rate", "log_loss", "base_log_loss", "auc_buy_vs_sell"):
        assert judged.figures[name] == report[name]
    assert judged.figures["calibration_error"] == expected_calibration_error(forecast, LABELS)
    assert judged.reliability["class"].unique().sort().to_list() == ["BUY", "HOLD", "SELL"]
    assert judged.daily.columns == ["session", *BASE, "ensemble"]
    views = session_demeaned_returns(
        forecast[:, 2] - forecast[:, 0], ROWS["decision_session"].to_numpy()
    )
    held = ROWS.with_columns(position=pl.Series(views))
    results = daily_results(held, DAILY)["result"]
    assert judged.daily["ensemble"].to_list() == results.to_list()
    moments = sharpe_moments(results.to_numpy())
    assert judged.figures["sharpe_per_session"] == moments.sharpe
    assert judged.figures["sharpe"] == moments.sharpe * math.sqrt(252)
    assert judged.figures["probabilistic_sharpe"] == probabilistic_sharpe_ratio(moments)


def test_figures_survive_json(judged):
    assert json.loads(json.dumps(judged.figures, allow_nan=False)) == judged.figures


def test_the_same_input_gives_the_same_bits(judged):
    again = judge()
    assert again.figures == judged.figures
    assert_frame_equal(again.daily, judged.daily, check_exact=True)
    assert_frame_equal(again.symbols, judged.symbols, check_exact=True)


def test_trials_are_counted_and_their_spread_deflates(judged):
    alone = judged.figures
    assert alone["trials"] == 1
    assert alone["deflated_probability"] == alone["probabilistic_sharpe"]
    trials = {"a": 0.05, "b": -0.1, "c": 0.02}
    figures = judge(trials=trials).figures
    assert figures["trials"] == 4
    results = judged.daily["ensemble"].to_numpy()
    own = alone["sharpe_per_session"]
    assert figures["deflated_probability"] == pytest.approx(
        deflated_sharpe_ratio(
            results, trials=4, trial_sharpe_variance=np.var([0.05, -0.1, 0.02, own], ddof=1)
        )
    )
    assert figures["deflated_probability"] < alone["deflated_probability"]
    assert judge(trials=dict(reversed(trials.items()))).figures == figures


def test_knowledge_pays_and_chance_does_not():
    knowing = judge(FORECASTS | {"ensemble": make_forecast(1.0, 1)}).figures
    assert knowing["sharpe"] > 5
    assert knowing["deflated_probability"] > 0.99
    assert knowing["probability_of_loss"] == 0
    guesses = [judge(FORECASTS | {"ensemble": make_forecast(0, seed)}) for seed in range(10)]
    assert abs(np.mean([each.figures["sharpe"] for each in guesses])) < 2


def test_a_view_on_the_whole_market_earns_nothing():
    hour = (ROWS["decision_session"].to_physical() % 7).to_numpy() / 20
    forecast = np.column_stack([0.3 - hour / 2, np.full(len(hour), 0.4), 0.3 + hour / 2])
    found = judge(FORECASTS | {"ensemble": forecast})
    assert found.daily["ensemble"].to_list() == [0] * found.daily.height
    assert found.figures["sharpe"] is None


def test_constant_forecasts_have_no_sharpe_ratio_and_nothing_to_select():
    found = judge(dict.fromkeys((*BASE, "ensemble"), constant()), trials={"a": 0.1})
    for name in (
        "sharpe",
        "sharpe_per_session",
        "probabilistic_sharpe",
        "deflated_probability",
        "probability_of_overfitting",
        "probability_of_loss",
    ):
        assert found.figures[name] is None
    assert found.figures["trials"] == 2
    assert found.ablation["result_correlation"].null_count() == len(BASE)
    # One constant model beside others is no reason not to select.
    assert judge(FORECASTS | {"mlp": constant()}).figures["probability_of_loss"] is not None


def test_too_few_sessions_for_the_blocks_leave_overfitting_unsaid():
    wide = STRATEGY.model_copy(update={"cscv": STRATEGY.cscv.model_copy(update={"blocks": 32})})
    figures = judge(strategy=wide).figures
    assert figures["sessions"] == 64
    assert figures["probability_of_overfitting"] is not None
    early = ROWS.filter(pl.col("decision_session") < ROWS["decision_session"][40])
    cut = {name: forecast[: early.height] for name, forecast in FORECASTS.items()}
    figures = judge(cut, rows=early, strategy=wide).figures
    assert figures["probability_of_overfitting"] is None
    assert figures["sharpe"] is not None


def test_groups_are_judged_against_the_shares_their_own_models_learned_from(judged):
    assert judged.regimes["regime"].to_list() == ["bear", "bull"]
    assert judged.sectors["sector"].to_list() == ["banks", "tech", None]
    assert judged.symbols.height == SYMBOLS
    losses = row_log_losses(TRAINING_SHARES, LABELS)
    for regime, base in judged.regimes.select("regime", "base_log_loss").iter_rows():
        assert base == pytest.approx(losses[(ROWS["regime"] == regime).to_numpy()].mean())
    assert (judged.regimes["coverage"] == 1).all()


def test_coverage_counts_bars_from_which_no_forecast_was_made():
    found = judge_with_a_gap()
    # Decisions of sessions 20 to 83, 30 of them in the bull market; 4 symbols to a sector.
    coverage = dict(found.symbols.select("symbol", "coverage").iter_rows())
    assert coverage["S01"] == 34 / 64
    assert coverage["S02"] == 1
    coverage = dict(found.regimes.select("regime", "coverage").iter_rows())
    assert coverage == {"bull": 11 / 12, "bear": 1}
    banks = found.sectors.filter(pl.col("sector") == "banks").row(0, named=True)
    assert (banks["rows"], banks["judged_rows"]) == (256, 226)
    assert "low_coverage" in banks["alerts"]


def test_the_ablation_says_what_each_model_adds(judged):
    assert judged.ablation["model"].to_list() == list(BASE)
    assert judged.ablation["gain"].null_count() == len(BASE)
    without = {"gru": make_forecast(0.0, 5), "tcn": FORECASTS["ensemble"]}
    rows = {row["model"]: row for row in judge(without=without).ablation.iter_rows(named=True)}
    whole = row_log_losses(FORECASTS["ensemble"], LABELS).mean()
    rest = row_log_losses(without["gru"], LABELS).mean()
    assert rows["gru"]["log_loss_without"] == pytest.approx(rest)
    assert rows["gru"]["gain"] == pytest.approx(rest - whole)
    assert rows["tcn"]["gain"] == 0
    assert rows["mlp"]["log_loss_without"] is None
    assert rows["mlp"]["log_loss"] == pytest.approx(row_log_losses(FORECASTS["mlp"], LABELS).mean())
    expected = np.corrcoef(judged.daily["mlp"], judged.daily["ensemble"])[0, 1]
    assert rows["mlp"]["result_correlation"] == pytest.approx(expected)


def test_each_backtest_path_is_judged_as_the_ensemble_is(judged):
    paths = np.stack([FORECASTS["ensemble"], FORECASTS["mlp"], constant()])
    found = combinatorial_evaluation(ROWS, paths, DAILY)
    assert found["path"].to_list() == [0, 1, 2]
    for ours, theirs in (
        ("log_loss", "log_loss"),
        ("auc", "auc_buy_vs_sell"),
        ("sharpe", "sharpe"),
    ):
        assert found[ours][0] == judged.figures[theirs]
    assert found["auc"][2] == 0.5
    assert found["sharpe"][2] is None


def test_two_ensembles_are_compared_by_decision_session():
    champion, challenger = FORECASTS["lightgbm_gbdt"], FORECASTS["ensemble"]
    days = ROWS["decision_session"].to_numpy()
    found = compare_on_same_rows(champion, challenger, LABELS, days, lag=15)
    losses = (row_log_losses(forecast, LABELS) for forecast in (champion, challenger))
    assert found == paired_improvement(*losses, days, lag=15)
    assert found.improvement > 0
    assert compare_on_same_rows(champion, challenger, LABELS, days, lag=31) is not None
    assert compare_on_same_rows(champion, challenger, LABELS, days, lag=32) is None


@pytest.mark.parametrize(("key", "value"), EFFECTS.items())
def test_each_key_changes_the_evaluation(key, value):
    section, *inner, name = key.split(".")
    sections = {
        "validation_strategy": STRATEGY.model_dump(),
        "sector_symbol_tracking": TRACKING.model_dump(),
    }
    plain = judge_with_a_gap()
    holder = sections[section][inner[0]] if inner else sections[section]
    assert holder[name] != value
    holder[name] = value
    changed = judge_with_a_gap(
        ValidationStrategyConfig.model_validate(sections["validation_strategy"]),
        SectorSymbolTrackingConfig.model_validate(sections["sector_symbol_tracking"]),
    )
    if section == "validation_strategy":
        assert changed.figures != plain.figures
    else:
        for table in ("regimes", "sectors"):
            assert not getattr(changed, table).equals(getattr(plain, table)), table


def test_what_cannot_be_judged_is_refused():
    base_only = {name: FORECASTS[name] for name in BASE}
    with pytest.raises(InputError, match="no forecast ensemble"):
        judge(base_only)
    with pytest.raises(InputError, match="rows lack entry_session"):
        judge(rows=ROWS.drop("entry_session"))
    with pytest.raises(InputError, match="rows lack regime, sector"):
        judge(rows=ROWS.drop("regime", "sector"))
    with pytest.raises(InputError, match="a stack without oracle"):
        judge(without={"oracle": FORECASTS["mlp"]})
    gaps = FORECASTS["mlp"].copy()
    gaps[3] = np.nan
    with pytest.raises(InputError, match="forecast mlp"):
        judge(FORECASTS | {"mlp": gaps})
    with pytest.raises(InputError, match="do not belong together"):
        judge(without={"mlp": FORECASTS["mlp"][:-1]})
    with pytest.raises(InputError, match="symbols without bars: S00"):
        judge(daily=DAILY.filter(pl.col("symbol") != "S00"))
    days = ROWS["decision_session"].to_numpy()
    with pytest.raises(InputError, match="compare_on_same_rows, challenger"):
        compare_on_same_rows(FORECASTS["mlp"], gaps, LABELS, days, lag=1)
