import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.drift import drift_verdicts, rank_drift
from turbomode_assets.reports import (
    calibration_picture,
    close_and_volume_picture,
    coverage_picture,
    label_balance_picture,
)
from turbomode_assets.reports.drift import feature_drift_picture, subject_drift_picture
from turbomode_assets.reports.wording import vendor_mark
from turbomode_assets.validation import reliability_curve
from turbomode_assets_tests.builders import REPOSITORY
from turbomode_assets_tests.drift.builders import CONFIG
from turbomode_assets_tests.reports.builders import (
    bars,
    drift,
    has_red_mark,
    labels,
    pixels,
    subject_drift,
)

LARGEST_BYTES = 60_000


def draw_features(rows, vendors):
    verdicts = drift_verdicts(rows, CONFIG)
    ranked = rank_drift(rows)
    return feature_drift_picture(ranked, verdicts, alarm_share=CONFIG.alarm_share, vendors=vendors)


def draw_subjects(rows, vendors):
    return subject_drift_picture(rank_drift(rows), vendors=vendors)


def curve(rows):
    forecast = np.random.default_rng(1).dirichlet([3, 2, 3], size=rows)
    return reliability_curve(forecast, np.random.default_rng(2).integers(0, 3, size=rows))


PICTURES = {
    "bars of one session": lambda v: close_and_volume_picture(bars("2024-06-28"), vendors=v),
    "bars of 100 symbols in one session": lambda v: close_and_volume_picture(
        bars("2024-06-28", symbols=100), vendors=v
    ),
    "bars of two sessions": lambda v: close_and_volume_picture(bars("2024-06-27"), vendors=v),
    "bars of one symbol": lambda v: close_and_volume_picture(bars(symbols=1), vendors=v),
    "bars of six symbols over 20 years": lambda v: close_and_volume_picture(
        bars("2004-01-02", symbols=6), vendors=v
    ),
    "bars of 100 symbols": lambda v: close_and_volume_picture(bars(symbols=100), vendors=v),
    "coverage of one session": lambda v: coverage_picture(bars("2024-06-28"), vendors=v),
    "coverage of a month": lambda v: coverage_picture(bars("2024-06-03"), vendors=v),
    "coverage of 20 years": lambda v: coverage_picture(bars("2004-01-02", symbols=2), vendors=v),
    "labels of one session": lambda v: label_balance_picture(labels("2024-06-28"), vendors=v),
    "labels of a month": lambda v: label_balance_picture(labels("2024-06-03"), vendors=v),
    "labels of years": lambda v: label_balance_picture(labels(), vendors=v),
    "drift of one session": lambda v: draw_features(drift("2024-06-28"), v),
    "drift of half a year": lambda v: draw_features(drift(), v),
    "drift from a reference without windows": lambda v: draw_features(drift(known=False), v),
    "drift of subjects in one session": lambda v: draw_subjects(subject_drift("2024-06-28"), v),
    "drift of subjects over half a year": lambda v: draw_subjects(subject_drift(), v),
    "calibration": lambda v: calibration_picture(curve(900), vendors=v),
    "calibration of three rows": lambda v: calibration_picture(curve(3), vendors=v),
    "no bars": lambda v: close_and_volume_picture(bars().clear(), vendors=v),
    "no rows": lambda v: coverage_picture(bars().clear(), vendors=v),
    "no labels": lambda v: label_balance_picture(labels().clear(), vendors=v),
    "no drift": lambda v: draw_features(drift().clear(), v),
    "no drift of subjects": lambda v: draw_subjects(subject_drift().clear(), v),
    "no calibration": lambda v: calibration_picture(curve(3).clear(), vendors=v),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
def test_every_picture_is_a_small_png_that_marks_a_simulated_market_in_red(draw):
    simulated, real = draw(["simulated"]), draw(["archive"])
    assert simulated.startswith(b"\x89PNG\r\n")
    assert max(len(simulated), len(real)) < LARGEST_BYTES
    assert has_red_mark(simulated)
    assert not has_red_mark(real)


@pytest.mark.parametrize("name", ["bars of 100 symbols", "labels of years", "drift of half a year"])
def test_the_same_rows_give_the_same_bytes(name):
    assert PICTURES[name](["archive"]) == PICTURES[name](["archive"])


def test_the_order_of_the_rows_does_not_matter():
    shuffled = bars().sample(fraction=1, shuffle=True, seed=1)
    assert close_and_volume_picture(bars()) == close_and_volume_picture(shuffled)
    assert coverage_picture(bars()) == coverage_picture(shuffled)


def test_the_vendor_column_marks_the_picture_by_itself():
    assert has_red_mark(close_and_volume_picture(bars()))
    assert not has_red_mark(close_and_volume_picture(bars(vendor="archive")))


def test_one_simulated_row_is_enough_for_the_mark():
    mixed = bars(vendor="archive").with_columns(
        vendor=pl.when(pl.int_range(pl.len()) == 7)
        .then(pl.lit("simulated"))
        .otherwise(pl.lit("archive"))
    )
    assert vendor_mark(mixed, None) == "vendor=archive, simulated"
    assert has_red_mark(coverage_picture(mixed))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: coverage_picture(bars().drop("vendor")),
        lambda: label_balance_picture(labels(), vendors=None),
    ],
)
def test_a_picture_without_a_known_vendor_is_refused(draw):
    with pytest.raises(InputError, match="does not say which vendors"):
        draw()


def test_sessions_without_rows_stand_out():
    def red(png):
        picture = pixels(png)[30:]
        return int(((picture[:, :, 0] > 0.7) & (picture[:, :, 1] < 0.4)).sum())

    complete = bars("2024-06-03", vendor="archive")
    gappy = complete.filter(pl.col("session").dt.day() != 12)
    assert red(coverage_picture(complete)) == 0
    assert red(coverage_picture(gappy)) > 10


def test_missing_dollar_volume_is_drawn_as_none():
    bare = bars(symbols=3).with_columns(dollar_volume=pl.lit(None, dtype=pl.Float64))
    assert close_and_volume_picture(bare).startswith(b"\x89PNG")


def test_a_flat_price_can_be_drawn():
    flat = bars(symbols=2).with_columns(close=pl.lit(3.0))
    assert close_and_volume_picture(flat).startswith(b"\x89PNG")


def test_pyplot_and_its_shared_state_are_never_loaded():
    program = (
        "import sys, turbomode_assets.reports as reports;"
        "from turbomode_assets_tests.reports.builders import bars;"
        "reports.coverage_picture(bars());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120, cwd=REPOSITORY)
    assert done.returncode == 0
