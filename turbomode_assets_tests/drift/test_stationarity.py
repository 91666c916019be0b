"""How often drift alarms while nothing changes, and how soon it does when something has.

Seeds from 1000 on took no part in choosing any rule. `make test-slow` prints the tables.
"""

from functools import partial

import numpy as np
import polars as pl
import pytest

from turbomode_assets.drift import (
    drift_by_session,
    drift_verdicts,
    drift_where_whole,
    freeze_outcomes,
    freeze_predictions,
    outcome_values,
    subject_verdicts,
)
from turbomode_assets.drift.subjects import PREDICTION_COLUMNS
from turbomode_assets_tests.drift import market_simulation as market
from turbomode_assets_tests.drift import simulation
from turbomode_assets_tests.drift.simulation import FEATURES, TENTH, shifted, with_missing

RULES = market.shipped_rules().drift_detection
NEVER = float("inf")
SINCE = market.later_span().first
assert simulation.later_span() == market.later_span()


def delay_sessions(alarms) -> float:
    """Sessions from a change to the first alarm, the change's own counted."""
    return alarms.arg_max() + 1 if alarms.any() else NEVER


def feature_figures(seed, changes):
    """Share of weeks that alarm without a change, and the delay after each of `changes`."""
    calm = simulation.stationary_market(seed)
    reference = simulation.frozen_at_the_end_of_the_reference(calm, RULES)

    def alarms(rows):
        drift = drift_by_session(reference, rows, simulation.later_span(), RULES)
        return drift_verdicts(drift, RULES)["retrain"]

    delays = {name: delay_sessions(alarms(change(calm, seed))) for name, change in changes.items()}
    return {"seed": seed, "false weeks": alarms(calm).gather_every(5).mean()} | delays


def moved(deviations, features):
    return lambda calm, seed: shifted(calm, deviations, features=features, since=SINCE)


def lost(share, features):
    return lambda calm, seed: with_missing(calm, share, features=features, since=SINCE)


TWO_DEVIATIONS = {
    "2 deviations, 10 %": moved(2.0, TENTH),
    "2 deviations, all": moved(2.0, FEATURES),
}
FEATURE_CHANGES = {
    "1 deviation, 10 %": moved(1.0, TENTH),
    "1 deviation, all": moved(1.0, FEATURES),
    **TWO_DEVIATIONS,
    "volatility doubles": lambda calm, seed: simulation.stationary_market(
        seed, later_volatility=2.0
    ),
    "20 % missing, 10 %": lost(0.2, TENTH),
    "20 % missing, all": lost(0.2, FEATURES),
    "all missing, 10 %": lost(1.0, TENTH),
}


def outcome_verdicts(reference, labels):
    made = market.market_sessions()
    drift, lacking = drift_where_whole(
        reference, outcome_values(labels), market.later_span(), RULES, made=made
    )
    assert not lacking
    return subject_verdicts(drift, "outcome")["verdict"] == "alert"


def became_hold(labels, share, seed):
    """That share of the labels known from the change on become HOLD."""
    hit = pl.Series(np.random.default_rng(seed).random(labels.height) < share)
    late = labels["session"] >= SINCE
    return labels.with_columns(label=pl.when(hit & late).then(1).otherwise("label"))


def outcome_figures(seed):
    prices = market.stationary_prices(seed)
    labels = market.labels_of(prices)
    learned = market.learned_labels(labels)
    reference = freeze_outcomes(learned, RULES, longest_wait=market.WAIT)
    alarms = partial(outcome_verdicts, reference)
    figures = {"seed": seed, "false weeks": alarms(labels).gather_every(5).mean()}
    for share in (0.25, 0.5):
        figures[f"{share:.0%} become HOLD"] = delay_sessions(
            alarms(became_hold(labels, share, seed))
        )
    for fall in (0.005, 0.01, 0.015):
        falling = market.labels_of(market.stationary_prices(seed, later_drift=-fall))
        figures[f"prices fall {fall:.1%} a day"] = delay_sessions(alarms(falling))
    return figures


def tilted(said, deviations, name, reference):
    """Raise one probability by so many deviations of its logarithm, and scale the three to 1."""
    factor = np.exp(deviations * reference[name].log().std())
    raised = said.with_columns(
        pl.when(pl.col("session") >= SINCE).then(factor * pl.col(name)).otherwise(name).alias(name)
    )
    return raised.with_columns(
        pl.col(each) / pl.sum_horizontal(PREDICTION_COLUMNS) for each in PREDICTION_COLUMNS
    )


def collapsed(said, reference):
    """Say the mean of the reference of everything, from the change on."""
    late = pl.col("session") >= SINCE
    return said.with_columns(
        pl.when(late).then(reference[name].mean()).otherwise(name).alias(name)
        for name in PREDICTION_COLUMNS
    )


def prediction_figures(seed):
    prices = market.stationary_prices(seed)
    before, said = market.forecasts_of(prices, market.labels_of(prices))
    reference = freeze_predictions(before, RULES)

    def verdicts(rows):
        drift, lacking = drift_where_whole(
            reference, rows, market.later_span(), RULES, made=set(rows["session"])
        )
        assert not lacking
        return subject_verdicts(drift, "prediction")["verdict"]

    calm = verdicts(said).gather_every(5)
    figures = {"seed": seed, "false weeks": (calm == "alert").mean()}
    figures["weeks of warning"] = (calm != "stable").mean()
    changes = {
        "one answer for all": collapsed(said, before),
        "BUY up 2 deviations": tilted(said, 2.0, "p_buy", before),
        "BUY up 4 deviations": tilted(said, 4.0, "p_buy", before),
    }
    for name, rows in changes.items():
        alarmed, warned = verdicts(rows) == "alert", verdicts(rows) != "stable"
        figures[name] = delay_sessions(alarmed)
        figures[f"{name} (warning)"] = delay_sessions(warned)
    return figures


def print_table(title, rows):
    """One line for each figure: share of weeks as mean and largest, delays as quantiles."""
    table = pl.DataFrame(rows, strict=False)
    print(f"\n{title}, {table.height} markets of seeds {table['seed'][0]} to {table['seed'][-1]}")
    for name in table.columns[1:]:
        ordered = table[name].cast(pl.Float64).sort()
        middle, ninth = ordered[len(ordered) // 2], ordered[(9 * len(ordered)) // 10]
        if "weeks" in name:
            shown = f"mean {ordered.mean():.2%}, largest {ordered[-1]:.2%}, "
            shown += f"{(ordered >= 0.05).sum()} markets of 5 % or more"
        else:
            shown = f"median {middle:g}, 90 % within {ninth:g}, largest {ordered[-1]:g} sessions"
        print(f"  {name:32} {shown}")
    return table


def test_on_fresh_markets_few_weeks_alarm_and_two_deviations_are_caught_within_a_month():
    figures = [feature_figures(seed, TWO_DEVIATIONS) for seed in range(1000, 1006)]
    table = pl.DataFrame(figures, strict=False)
    assert table["false weeks"].mean() < 0.05
    assert table["2 deviations, 10 %"].max() <= 20
    assert table["2 deviations, all"].max() <= 15


def test_labels_of_a_market_that_does_not_change_rarely_alarm_and_a_fall_is_caught():
    figures = pl.DataFrame([outcome_figures(seed) for seed in (3000, 3001)], strict=False)
    assert figures["false weeks"].mean() < 0.05
    assert figures["50% become HOLD"].max() <= 40


def test_what_a_model_says_of_a_market_that_does_not_change_does_not_alarm():
    figures = prediction_figures(3000)
    assert figures["false weeks"] < 0.05
    assert figures["one answer for all"] <= 40


@pytest.mark.slow
def test_features_of_sixty_fresh_markets():
    table = print_table(
        "features", [feature_figures(seed, FEATURE_CHANGES) for seed in range(1000, 1060)]
    )
    for first in (0, 20, 40):
        assert table["false weeks"].slice(first, 20).mean() < 0.05
    assert table["2 deviations, 10 %"].max() <= 20
    assert table["2 deviations, all"].max() <= 15
    assert table["1 deviation, all"].max() <= 20


@pytest.mark.slow
def test_outcomes_of_forty_fresh_markets():
    table = print_table("outcomes", [outcome_figures(seed) for seed in range(3000, 3040)])
    for first in (0, 20):
        assert table["false weeks"].slice(first, 20).mean() < 0.05
    assert table["50% become HOLD"].median() <= 20
    assert table["prices fall 1.5% a day"].median() <= 20


@pytest.mark.slow
def test_predictions_of_twenty_fresh_markets():
    table = print_table("predictions", [prediction_figures(seed) for seed in range(3000, 3020)])
    assert table["false weeks"].mean() < 0.05
    assert (table["one answer for all"] <= 40).mean() >= 0.5
