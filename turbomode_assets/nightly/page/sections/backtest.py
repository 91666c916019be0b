"""What following the signals would have come to."""

from markupsafe import Markup

from turbomode_assets.nightly.figures import Backtest, NamedFigure, NightlyReport
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.charts import LineChart, line_chart
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import (
    ABSENT,
    count,
    day,
    figure,
    number,
    percent,
)
from turbomode_assets.reports.wording import amount_tick, percent_tick

SENTENCE = 24
"""A stored figure that is a longer text than this is a sentence, and no cell of a table."""
_SHARES = ("return", "volatility", "drawdown", "rate", "share", "probability")
_PROBABILITIES = {"probabilistic_sharpe", "deflated_sharpe"}
_DIGITS = 2
FIGURE_COLUMNS = (
    Column("figure", lambda each: figure(each.name, _spoken(each.name))),
    Column("value", lambda each: _written(each), "n"),
)
EQUITY_COLUMNS = (
    Column("session", lambda point: day(point.session)),
    Column("equity, USD", lambda point: number(point.equity, 0), "n"),
    Column("deepest drawdown since the row below", lambda point: percent(point.drawdown, 2), "n"),
)


def values(report: NightlyReport) -> SectionValues:
    """Give equity, drawdown and every stored figure."""
    backtest = report.backtest
    sentences = [each for each in backtest.figures if _is_sentence(each)]
    cells = [each for each in backtest.figures if not _is_sentence(each)]
    return SectionValues(
        backtest.why_none,
        {
            "backtest": backtest,
            "charts": _charts(backtest) if backtest.equity else None,
            "figures": table(FIGURE_COLUMNS, cells),
            "sentences": [
                (figure(each.name, f"{_spoken(each.name)}: "), each.value) for each in sentences
            ],
            "numbers": table(EQUITY_COLUMNS, reversed(backtest.equity)),
        },
    )


def _charts(backtest: Backtest) -> tuple[LineChart, LineChart]:
    sessions = [str(point.session) for point in backtest.equity]
    equity = [point.equity for point in backtest.equity]
    drawdown = [-point.drawdown for point in backtest.equity]
    return (
        line_chart(equity, sessions, amount_tick, kind="equity", described="Equity by session"),
        line_chart(
            drawdown,
            sessions,
            percent_tick,
            kind="fall",
            height=90,
            from_zero=True,
            described="Drawdown by session",
        ),
    )


def _is_sentence(each: NamedFigure) -> bool:
    return isinstance(each.value, str) and len(each.value) > SENTENCE


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _written(each: NamedFigure) -> Markup | str:
    value = each.value
    if value is None or isinstance(value, str):
        return value or ABSENT
    if each.name in _PROBABILITIES or each.name.endswith(_SHARES):
        return percent(value)
    if isinstance(value, int):
        return count(value)
    if each.name.endswith("_usd"):
        return figure(value, f"${value:,.0f}")
    return number(value, _DIGITS)


SECTION = Section("backtest", "Backtest", values)
