"""Nightly reports for tests: one with something in every section, and one with nothing at all."""

import datetime as dt

from turbomode_assets.nightly.figures import (
    Alert,
    Alerts,
    Backtest,
    Calibration,
    CalibrationPoint,
    Concern,
    Coverage,
    CoverageReason,
    CoverageRow,
    CoverageSession,
    Drift,
    DriftedFeature,
    DriftLevel,
    DriftPoint,
    EquityPoint,
    Green,
    Model,
    NamedFigure,
    NightlyReport,
    OutcomeGroup,
    Outcomes,
    Run,
    Runs,
    SettledSignal,
    Signal,
    Signals,
)
from turbomode_assets.sessions import offset_session, sessions_between

NIGHT = dt.date(2017, 11, 10)
NOW = dt.datetime(2017, 11, 11, 5, 31, 7, tzinfo=dt.UTC)
LAST_60 = sessions_between(offset_session(NIGHT, -59), NIGHT)


def make_signal(number, side="BUY", *, symbol=None, confidence=0.6213):
    rest = (1 - confidence) / 2
    shares = {name: rest for name in ("buy", "hold", "sell")} | {side.lower(): confidence}
    return Signal(
        rank=number,
        symbol=symbol or f"SIM{number:03}",
        signal=side,
        confidence=confidence,
        p_buy=shares["buy"],
        p_hold=shares["hold"],
        p_sell=shares["sell"],
        entry_session=dt.date(2017, 11, 13),
        entry_price_estimate=101.2379,
        profit_take_price=107.5,
        stop_loss_price=0.98765,
        expiry_session=dt.date(2017, 12, 4),
        model_version="2017-11-03-6dc4e30b",
        role="champion",
    )


def make_group(by, group):
    return OutcomeGroup(by, group, 20, 11, 7, 2, 11 / 18, 0.55, 0.6012, 0.00893)


def make_run(
    status="SUCCESS", *, job="scanner", sessions=str(NIGHT), failure=None, covers=True, undone=None
):
    return Run("0a1b2c3d-e5f6", job, sessions, status, NOW, 83.25, failure, covers, undone)


def make_alert(severity="warning", *, title="Drift for 3 sessions", by=None):
    return Alert(severity, "drift", title, "11 of 179 exceed", "run train", NOW, NOW, 4, by)


def full_signals(symbols=4):
    sides = ("BUY", "SELL", "HOLD")
    return Signals(
        rows=tuple(make_signal(n + 1, sides[n % 3]) for n in range(symbols)),
        models=(Model("2017-11-03-6dc4e30b", "champion", dt.date(2017, 11, 3), NOW),),
        gate_overrides=("two halts are known",),
    )


def full_outcomes():
    by = ("all", "side", "confidence", "hold confidence", "regime")
    names = ("positions", "BUY", "0.6 to 0.7", "0.7 to 0.8", "bull")
    settled = SettledSignal(
        "SIM001", dt.date(2017, 10, 24), "SELL", "win", "stop_loss", NIGHT, 0.0333
    )
    return Outcomes(
        dt.date(2016, 11, 11),
        groups=tuple(make_group(*each) for each in zip(by, names, strict=True)),
        settled=(settled,),
        open=74,
        overdue=42,
        due_tonight=23,
        unsettled_tonight=1,
    )


def full_calibration():
    points = tuple(
        CalibrationPoint(side, low / 10, low / 10 + 0.1, 31, low / 10 + 0.05, low / 10 + 0.02)
        for side in ("SELL", "HOLD", "BUY")
        for low in range(1, 9)
    )
    return Calibration(744, 0.5113, 0.0271, points)


def full_drift(sessions=LAST_60):
    trend = tuple(
        DriftPoint(day, number % 12, 179, number % 12 / 179, "warn" if number % 12 else "stable")
        for number, day in enumerate(sessions)
    )
    worst = (DriftedFeature("rsv20", "feature", 0.4512, 0.21, 0.33, 0.12, "alert"),)
    levels = (
        DriftLevel("p_buy", 0.7312, 0.2104, 0.4417, 1.913, 0.605, moved=True),
        DriftLevel("p_sell", None, 0.2511, 0.4613, None, 0.594, moved=False),
    )
    shares = (179, 11, 11 / 179)
    return Drift(
        0.05, "alert", "alert", "warn", *shares, True, "2017-11-03-x", worst, trend, levels
    )


def full_coverage(symbols=23, sessions=LAST_60):
    return Coverage(
        sessions=tuple(CoverageSession(day, symbols - 3, 2, 1) for day in sessions),
        rows=tuple(
            CoverageRow(f"SIM{n + 1:03}", ("G" * 40 + "AR." + "G" * 60)[: len(sessions)])
            for n in range(symbols)
        ),
        left_out=7,
        reasons=(CoverageReason("no_data", "AMBER", 12),),
    )


def full_backtest(points=120):
    sessions = sessions_between(offset_session(NIGHT, 1 - points), NIGHT)
    figures = (
        NamedFigure("annual_return", 0.0812),
        NamedFigure("sharpe", 0.7134),
        NamedFigure("trades", 512),
        NamedFigure("cost_usd", 5120.4),
        NamedFigure("overfitting_probability", None),
        NamedFigure("drawdown_peak_session", "2017-06-01"),
        NamedFigure("survivorship", "The universe holds survivors only: longs are flattered."),
    )
    equity = (EquityPoint(day, 1e5 + 37.5 * n, n % 7 / 100) for n, day in enumerate(sessions))
    return Backtest(NIGHT, figures, tuple(equity))


def full_report(**changed):
    """Return something in every section; `changed` replaces fields."""
    fields = {
        "session": NIGHT,
        "written_at": NOW,
        "tenant": "default",
        "vendors": ("simulated",),
        "level": "look",
        "concerns": (Concern("look", "The world has drifted", "drift"),),
        "green": Green(23, 20, 2, 1, 0.95, 0.5),
        "signals": full_signals(),
        "outcomes": full_outcomes(),
        "calibration": full_calibration(),
        "drift": full_drift(),
        "coverage": full_coverage(),
        "backtest": full_backtest(),
        "runs": Runs((make_run(), make_run("FAILURE", failure="signals: 3 bars are missing"))),
        "alerts": Alerts((make_alert("critical"), make_alert(by="ada"))),
    }
    return NightlyReport(**{**fields, **changed})


def empty_report():
    """Return a night of which nothing is known."""
    return full_report(
        vendors=(),
        level="act",
        concerns=(Concern("act", "There are no signals", "signals"),),
        green=Green(0, 0, 0, 0, 0.95, 0.5),
        signals=Signals(why_none="why no signals"),
        outcomes=Outcomes(dt.date(2016, 11, 11), why_none="why no outcomes"),
        calibration=Calibration(why_none="why no calibration"),
        drift=Drift(0.05, why_none="why no drift"),
        coverage=Coverage(why_none="why no coverage"),
        backtest=Backtest(why_none="why no backtest"),
        runs=Runs(why_none="why no runs"),
        alerts=Alerts(why_none="why no alerts"),
    )
