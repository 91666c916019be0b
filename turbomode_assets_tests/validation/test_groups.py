import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import (
    brier_score,
    classification_report,
    expected_calibration_error,
    grouped_metrics,
)

SHARES = np.array([0.25, 0.25, 0.5])
REASONS = np.array(["stop_loss", "expiry", "profit_take"])
PROBABILITIES = ("p_sell", "p_hold", "p_buy")
SCHEMA = {
    "regime": pl.String(),
    **dict.fromkeys(PROBABILITIES, pl.Float64()),
    "label": pl.Int8(),
    "exit_reason": pl.String(),
}


def _frame(*rows):
    """Rows of (group, probabilities or None, label)."""
    written = [
        {
            "regime": group,
            **dict(zip(PROBABILITIES, forecast or (None, None, None), strict=True)),
            "label": label,
            "exit_reason": str(REASONS[label]),
        }
        for group, forecast, label in rows
    ]
    return pl.DataFrame(written, schema=SCHEMA)


SMALL = _frame(
    ("calm", (0.6, 0.2, 0.2), 0),
    ("stress", (0.1, 0.8, 0.1), 1),
    ("calm", (0.2, 0.2, 0.6), 2),
    ("calm", None, 1),
    ("stress", (0.5, 0.2, 0.3), 1),
    (None, None, 2),
)


def test_each_group_is_scored_on_its_own_rows_with_what_is_missing_counted():
    scores = grouped_metrics(SMALL, "regime", training_shares=SHARES)
    assert scores["regime"].to_list() == ["calm", "stress", None]
    assert scores["rows"].to_list() == [3, 2, 1]
    assert scores["judged_rows"].to_list() == [2, 2, 0]
    assert scores["coverage"].to_list() == pytest.approx([2 / 3, 1, 0])
    assert scores["share_hold"].to_list() == [0, 1, None]
    assert scores["accuracy"].to_list() == [1, 0.5, None]
    assert scores["base_rate"].to_list() == [0.5, 0, None]
    assert scores["brier_score"].to_list() == pytest.approx([0.24, (0.06 + 0.98) / 2, None])
    assert scores["calibration_error"].to_list() == pytest.approx([0.4, (0.2 + 0.5) / 2, None])
    assert scores["auc_buy_vs_sell"].to_list() == [1, None, None]
    assert scores["touched_rows"].to_list() == [2, 0, None]


def test_alerts_name_few_rows_rare_classes_and_missing_forecasts():
    rules = {"minimum_rows": 2, "minimum_class_share": 0.1, "minimum_coverage": 0.7}
    scores = grouped_metrics(SMALL, "regime", training_shares=SHARES, **rules)
    assert scores["alerts"].to_list() == [
        ["low_coverage", "rare_hold"],
        ["rare_sell", "rare_buy"],
        ["few_rows", "low_coverage"],
    ]
    loose = {"minimum_rows": 2, "minimum_class_share": 0.0, "minimum_coverage": 1.0}
    scores = grouped_metrics(SMALL.drop_nulls(), "regime", training_shares=SHARES, **loose)
    assert scores["alerts"].to_list() == [[], []]


def test_a_nan_is_no_forecast_either():
    frame = SMALL.drop_nulls().with_columns(
        p_buy=pl.when(pl.col("regime") == "calm").then(float("nan")).otherwise("p_buy")
    )
    scores = grouped_metrics(frame, "regime", training_shares=SHARES)
    assert scores["judged_rows"].to_list() == [0, 2]


def test_frames_and_thresholds_that_cannot_be_judged_are_refused():
    ask = {"training_shares": SHARES}
    with pytest.raises(InputError, match="has no rows"):
        grouped_metrics(SMALL.head(0), "regime", **ask)
    with pytest.raises(InputError, match="no column sector, p_buy"):
        grouped_metrics(SMALL.drop("p_buy"), "sector", **ask)
    with pytest.raises(InputError, match="a label or exit reason is missing"):
        grouped_metrics(SMALL.with_columns(label=pl.lit(None)), "regime", **ask)
    with pytest.raises(InputError, match="do not sum to 1"):
        grouped_metrics(SMALL.with_columns(p_buy=0.9), "regime", **ask)
    with pytest.raises(InputError, match="minimum_rows is 0"):
        grouped_metrics(SMALL, "regime", minimum_rows=0, **ask)
    with pytest.raises(InputError, match="minimum_coverage is 95"):
        grouped_metrics(SMALL, "regime", minimum_coverage=95, **ask)
    with pytest.raises(InputError, match="minimum_class_share is nan"):
        grouped_metrics(SMALL, "regime", minimum_class_share=float("nan"), **ask)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from(["symbol", "sector"]))
@settings(max_examples=25)
def test_a_group_scores_what_it_scores_alone_whatever_the_order_of_the_rows(seed, rows, by):
    random = np.random.default_rng(seed)
    forecast, labels = random.dirichlet([1, 1, 1], rows), random.integers(0, 3, rows)
    names = random.choice(["A", "B", "C"], rows)
    frame = pl.DataFrame(forecast, schema=["p_sell", "p_hold", "p_buy"]).with_columns(
        pl.Series(by, names),
        label=pl.Series(labels.astype(np.int8)),
        exit_reason=pl.Series(REASONS[labels]),
    )
    scores = grouped_metrics(frame, by, training_shares=SHARES)
    shuffled = grouped_metrics(
        frame.sample(fraction=1.0, shuffle=True, seed=1), by, training_shares=SHARES
    )
    assert_frame_equal(scores, shuffled)
    for score in scores.iter_rows(named=True):
        alone = names == score[by]
        report = classification_report(
            forecast[alone],
            labels[alone],
            training_shares=SHARES,
            exit_reasons=REASONS[labels[alone]],
        )
        for name in ("accuracy", "log_loss", "base_log_loss", "auc_buy_vs_sell", "touched_rows"):
            assert score[name] == pytest.approx(report[name])
        assert score["brier_score"] == pytest.approx(brier_score(forecast[alone], labels[alone]))
        assert score["calibration_error"] == pytest.approx(
            expected_calibration_error(forecast[alone], labels[alone])
        )
        assert score["judged_rows"] == report["rows"] == score["rows"]
