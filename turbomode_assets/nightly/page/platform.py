"""Sections of the nightly page on what signals rest on: drift, data, and the backtest."""

from turbomode_assets.nightly.figures import (
    Backtest,
    Coverage,
    Drift,
    Green,
    NamedFigure,
)
from turbomode_assets.nightly.page.charts import heatmap, legend, line_chart
from turbomode_assets.nightly.page.markup import Markup, figure, joined, tag
from turbomode_assets.nightly.page.words import (
    amount_tick,
    behind,
    count,
    day,
    number,
    percent,
    percent_tick,
    section,
    table,
    tile,
    tiles,
    word,
)
from turbomode_assets.reports.canvas import counted

SENTENCE = 24
"""A stored figure that is a longer text than this is a sentence, and no cell of a table."""
_SHARES = ("return", "volatility", "drawdown", "rate", "share", "probability")
_PROBABILITIES = {"probabilistic_sharpe", "deflated_sharpe"}
_DIGITS = 2


def drift_section(drift: Drift) -> Markup:
    """Whether the world still looks as it did when the champion learned."""
    return section(
        "drift",
        "Drift",
        drift.why_none,
        _drift_verdict(drift) if drift.verdict is not None else None,
        tag("p", "From ", percent(drift.alarm_share), " of the features on it is an alarm."),
        _drift_trend(drift) if drift.trend else None,
        _drift_worst(drift) if drift.worst else None,
        _drift_levels(drift) if drift.levels else None,
    )


def _drift_verdict(drift: Drift) -> Markup:
    others = (("predictions", drift.predictions_verdict), ("outcomes", drift.outcomes_verdict))
    model = f"Measured against the reference of {drift.model_version}."
    advice = "It asks for another training." if drift.retrain else "No other training is needed."
    return joined(
        tiles(
            tile(word(drift.verdict), "verdict on the features"),
            tile(
                percent(drift.share),
                count(drift.exceeding),
                " of ",
                count(drift.features),
                " features exceed their limits",
            ),
            *(
                tile(word(verdict), f"verdict on the {subject}")
                for subject, verdict in others
                if verdict is not None
            ),
        ),
        tag("p", f"{model} {advice}", class_="soft"),
    )


def _drift_trend(drift: Drift) -> Markup:
    rows = [
        (
            day(point.session),
            percent(point.share),
            count(point.exceeding),
            count(point.features),
            word(point.verdict),
        )
        for point in reversed(drift.trend)
    ]
    headings = ("session", "share", "exceeding", "features", "verdict")
    return joined(
        tag("h3", f"Share of features that exceed, last {counted(len(drift.trend), 'session')}"),
        line_chart(
            [point.share for point in drift.trend],
            [str(point.session) for point in drift.trend],
            percent_tick,
            kind="share",
            limit=drift.alarm_share,
            from_zero=True,
            described="Share of features that exceed their limits, by session",
        ),
        legend({"limit": "alarm"}),
        behind("The numbers behind it", table(headings, rows, numeric=(1, 2, 3))),
    )


def _drift_worst(drift: Drift) -> Markup:
    rows = [
        (
            each.feature,
            each.subject,
            word(each.verdict),
            number(each.psi),
            number(each.psi_maximum),
            number(each.kl),
            number(each.ks),
        )
        for each in drift.worst
    ]
    headings = ("what", "kind", "verdict", "PSI", "largest in training", "KL", "KS")
    return joined(
        tag("h3", "Furthest from what was learned"),
        table(headings, rows, numeric=(3, 4, 5, 6)),
    )


def _drift_levels(drift: Drift) -> Markup:
    rows = [
        (
            each.feature,
            "moved" if each.moved else "as in training",
            number(each.mean),
            joined(number(each.mean_least), " to ", number(each.mean_most)),
            number(each.step),
            number(each.step_limit),
        )
        for each in drift.levels
    ]
    headings = ("what", "level", "mean", "may be", "step", "at most")
    explained = (
        "The mean is of all that was said in the window; the step, in log odds, is from the mean "
        "of two sessions to that of the two after them. One that moved is an alert."
    )
    return joined(
        tag("h3", "Levels of what the model says"),
        table(headings, rows, numeric=(2, 3, 4, 5)),
        tag("p", explained, class_="soft small"),
    )


def coverage_section(coverage: Coverage, green: Green) -> Markup:
    """What daily candles there are and are not."""
    if not coverage.rows:
        return section("coverage", "Data coverage", coverage.why_none, _tonight(green))
    rows = [
        (day(each.session), count(each.green), count(each.amber), count(each.red))
        for each in reversed(coverage.sessions)
    ]
    headings = ("session", "GREEN", "AMBER", "RED")
    shown = (
        f"Daily candles, the last {counted(len(coverage.sessions), 'session')}: a row for each "
        "symbol, the newest session on the right."
    )
    reasons = [(each.reason, each.verdict, count(each.cells)) for each in coverage.reasons]
    return section(
        "coverage",
        "Data coverage",
        coverage.why_none,
        _tonight(green),
        tag("p", shown, class_="soft"),
        legend({"green": "GREEN", "amber": "AMBER", "red": "RED", "none": "not expected"}),
        heatmap(coverage),
        tag(
            "p",
            count(coverage.left_out),
            " more symbols have no row here: those with the least that is not GREEN.",
            class_="soft small",
        )
        if coverage.left_out
        else None,
        joined(tag("h3", "Why"), table(("reason", "verdict", "candles"), reasons, numeric=(2,)))
        if reasons
        else tag("p", "Everything that is expected is GREEN.", class_="soft"),
        behind("The numbers behind it", table(headings, rows, numeric=(1, 2, 3))),
    )


def _tonight(green: Green) -> Markup:
    return tag(
        "p",
        "In this session ",
        count(green.green),
        " of ",
        count(green.expected),
        " daily candles are GREEN, ",
        count(green.amber),
        " AMBER and ",
        count(green.red),
        " RED. Below ",
        percent(green.wanted_share, 0),
        " GREEN a session is late, below ",
        percent(green.floor_share, 0),
        " nothing is derived from it.",
    )


def backtest_section(backtest: Backtest) -> Markup:
    """What following the signals would have come to."""
    if not backtest.equity:
        return section("backtest", "Backtest", backtest.why_none)
    sessions = [str(point.session) for point in backtest.equity]
    sentences = [each for each in backtest.figures if _is_sentence(each)]
    cells = [each for each in backtest.figures if not _is_sentence(each)]
    behind_it = [
        (day(point.session), number(point.equity, 0), percent(point.drawdown, 2))
        for point in reversed(backtest.equity)
    ]
    headings = ("session", "equity, USD", "deepest drawdown since the row below")
    return section(
        "backtest",
        "Backtest",
        backtest.why_none,
        tag("h3", "Equity, USD"),
        line_chart(
            [point.equity for point in backtest.equity],
            sessions,
            amount_tick,
            kind="equity",
            described="Equity by session",
        ),
        tag("h3", "Below its highest so far"),
        line_chart(
            [-point.drawdown for point in backtest.equity],
            sessions,
            percent_tick,
            kind="fall",
            height=90,
            from_zero=True,
            described="Drawdown by session",
        ),
        tag("p", "Backtest as of ", day(backtest.session), ".", class_="soft small"),
        table(
            ("figure", "value"),
            [(figure(each.name, _spoken(each.name)), _named(each)) for each in cells],
            numeric=(1,),
        )
        if cells
        else None,
        *(
            tag(
                "p",
                tag("b", figure(each.name, f"{_spoken(each.name)}: ")),
                each.value,
                class_="small",
            )
            for each in sentences
        ),
        behind("The numbers behind it", table(headings, behind_it, numeric=(1, 2))),
    )


def _is_sentence(each: NamedFigure) -> bool:
    return isinstance(each.value, str) and len(each.value) > SENTENCE


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _named(each: NamedFigure) -> Markup:
    value = each.value
    if value is None or isinstance(value, str):
        return joined(value or "–")
    if each.name in _PROBABILITIES or each.name.endswith(_SHARES):
        return percent(value)
    if isinstance(value, int):
        return count(value)
    if each.name.endswith("_usd"):
        return figure(value, f"${value:,.0f}")
    return number(value, _DIGITS)
