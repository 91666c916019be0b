"""Sections of the nightly page on signals: tonight's, how earlier ones ended, their calibration."""

from collections.abc import Sequence

from turbomode_assets.nightly.figures import (
    Calibration,
    OutcomeGroup,
    Outcomes,
    Signal,
    Signals,
)
from turbomode_assets.nightly.page.charts import legend, probability_bar, reliability_chart
from turbomode_assets.nightly.page.markup import Markup, figure, joined, tag
from turbomode_assets.nightly.page.words import (
    behind,
    count,
    day,
    minute,
    number,
    percent,
    price,
    section,
    signed_percent,
    table,
    tile,
    tiles,
    word,
)
from turbomode_assets.reports.canvas import counted

GROUPINGS = {
    "side": "By side",
    "confidence": "By confidence of the side that was signalled",
    "hold confidence": "HOLD, by its confidence",
    "regime": "By regime of the market when it was signalled",
}
_SIGNAL_HEADINGS = (
    "symbol",
    "rank",
    "signal",
    "confidence",
    "entry (estimate)",
    "take profit",
    "stop loss",
    "enters",
    "expires",
    "sell / hold / buy",
)
FOLDED_ROWS = 12
"""A list that is longer than this is folded away."""
TOUCHED = {
    "profit_take": "upper barrier",
    "stop_loss": "lower barrier",
    "expiry": "time",
}
"""What ended a position. Barriers are named as a BUY has them: a SELL wins at the lower one."""


def signals_section(signals: Signals) -> Markup:
    """What to do about each symbol, the surest first."""
    sided = [row for row in signals.rows if row.signal != "HOLD"]
    held = [row for row in signals.rows if row.signal == "HOLD"]
    nothing = None
    if signals.rows and not sided:
        nothing = tag("p", "No symbol is a BUY or a SELL tonight: all are HOLD.", class_="empty")
    return section(
        "signals",
        "Signals",
        signals.why_none,
        *(
            tag("p", tag("b", "Past the GREEN gate: "), reason, class_="t-alert")
            for reason in signals.gate_overrides
        ),
        nothing,
        _signal_table(sided) if sided else None,
        _without_terms(signals.rows),
        behind(f"{len(held)} HOLD", _signal_table(held)) if held else None,
        *(_model_line(signals, place) for place in range(len(signals.models))),
    )


def _without_terms(rows: Sequence[Signal]) -> Markup | None:
    unknown = [row for row in rows if row.signal != "HOLD" and row.entry_price_estimate is None]
    if not unknown:
        return None
    said = "Prices and barriers are missing where the program that signalled did not keep them."
    return tag("p", said, class_="soft small")


def _signal_table(rows: Sequence[Signal]) -> Markup:
    return table(
        _SIGNAL_HEADINGS,
        [
            (
                tag("b", row.symbol),
                count(row.rank),
                word(row.signal),
                percent(row.confidence),
                price(row.entry_price_estimate),
                price(row.profit_take_price),
                price(row.stop_loss_price),
                day(row.entry_session),
                day(row.expiry_session),
                _probabilities(row),
            )
            for row in rows
        ],
        numeric=(1, 3, 4, 5, 6),
    )


def _probabilities(row: Signal) -> Markup:
    """The three as a bar and in figures, and whose they are where that is not the champion."""
    shares = (row.p_sell, row.p_hold, row.p_buy)
    figures = joined(
        *(
            percent(share) if n == 0 else joined(" / ", percent(share))
            for n, share in enumerate(shares)
        )
    )
    return joined(
        probability_bar(*shares),
        tag("span", figures, class_="soft small"),
        None if row.role == "champion" else tag("div", row.model_version, class_="soft small"),
    )


def _model_line(signals: Signals, place: int) -> Markup:
    model = signals.models[place]
    return tag(
        "p",
        f"Model {model.model_version} ({model.role}), trained as of ",
        day(model.as_of_session),
        " on ",
        minute(model.trained_at),
        ".",
        class_="soft small",
    )


def outcomes_section(outcomes: Outcomes) -> Markup:
    """How signals of the last year ended."""
    return section(
        "outcomes",
        "How past signals did",
        outcomes.why_none,
        tag(
            "p",
            "Champions' signals since ",
            day(outcomes.first),
            " whose last session has come. A win touched the barrier of its side first, a loss "
            "the other one, and what expired neither.",
            class_="soft",
        ),
        *(_outcome_content(outcomes) if outcomes.groups else []),
        _settled(outcomes),
        tag("p", "Not due yet: ", count(outcomes.open), " positions.", class_="soft small"),
        tag(
            "p",
            "Due tonight: ",
            count(outcomes.due_tonight),
            " signals, ",
            count(outcomes.unsettled_tonight),
            " of them without an outcome. Due ever, and without one: ",
            count(outcomes.overdue),
            "; what had no bar to enter at never gets one.",
            class_="soft small",
        ),
    )


def _outcome_content(outcomes: Outcomes) -> list[Markup | None]:
    overall = outcomes.overall
    headline = None
    if overall is not None:
        headline = tiles(
            tile(percent(overall.hit_rate), "of what won or lost, won"),
            tile(signed_percent(overall.expectancy), "a position on average, before costs"),
            tile(count(overall.rows), "positions that were due"),
            tile(
                joined(percent(overall.came_true), " / ", percent(overall.mean_probability)),
                "came true / was said",
            ),
        )
    return [
        headline,
        *(_grouping(outcomes.groups, by, title) for by, title in GROUPINGS.items()),
    ]


def _grouping(groups: Sequence[OutcomeGroup], by: str, title: str) -> Markup | None:
    chosen = [group for group in groups if group.by == by]
    if by == "side":
        chosen = [*(group for group in groups if group.by == "all"), *chosen]
    if not chosen:
        return None
    headings = (
        "group",
        "signals",
        "won",
        "lost",
        "expired",
        "hit rate",
        "expectancy",
        "said",
        "came true",
    )
    rows = [
        (
            group.group,
            count(group.rows),
            *(
                figure(ended, "–") if _is_held(group) else count(ended)
                for ended in (group.wins, group.losses, group.expired)
            ),
            percent(group.hit_rate),
            signed_percent(group.expectancy),
            percent(group.mean_probability),
            percent(group.came_true),
        )
        for group in chosen
    ]
    return joined(
        tag("h3", figure(by, title)), table(headings, rows, numeric=range(1, len(headings)))
    )


def _is_held(group: OutcomeGroup) -> bool:
    """HOLD is no position: it neither wins nor loses."""
    return group.by == "hold confidence" or group.group == "HOLD"


def _settled(outcomes: Outcomes) -> Markup:
    title = tag("h3", "Settled tonight")
    if not outcomes.settled:
        return joined(title, tag("p", "No position was settled in this session.", class_="empty"))
    rows = [
        (
            tag("b", row.symbol),
            word(row.signal),
            word(row.outcome),
            signed_percent(row.return_),
            figure(row.exit_reason, TOUCHED.get(row.exit_reason, row.exit_reason)),
            day(row.signalled),
            day(row.exit_session),
        )
        for row in outcomes.settled
    ]
    headings = ("symbol", "signal", "outcome", "return", "ended by", "signalled", "left")
    listed = table(headings, rows, numeric=(3,))
    ended = [row.outcome for row in outcomes.settled]
    words = ", ".join(f"{ended.count(name)} {name}" for name in dict.fromkeys(sorted(ended)))
    summary = f"{counted(len(rows), 'position')}: {words}"
    if len(rows) > FOLDED_ROWS:
        return joined(title, tag("p", summary), behind("Each of them", listed))
    return joined(title, listed)


def calibration_section(calibration: Calibration) -> Markup:
    """Whether what was said with 60 % came true in 60 of 100 cases."""
    if not calibration.points:
        return section("calibration", "Calibration", calibration.why_none)
    sides = {point.side.lower(): point.side for point in calibration.points}
    rows = [
        (
            point.side,
            joined(percent(point.lower, 0), " to ", percent(point.upper, 0)),
            count(point.rows),
            percent(point.mean_probability),
            percent(point.observed_share),
        )
        for point in calibration.points
    ]
    headings = ("side", "said between", "signals", "said on average", "came true")
    return section(
        "calibration",
        "Calibration",
        calibration.why_none,
        tag(
            "p",
            "How often each side came true (upwards) over the probability that it was given "
            "(to the right). On the dashed line both are the same; above it, the models were too "
            "modest, below it too sure.",
            class_="soft",
        ),
        tiles(
            tile(percent(calibration.calibration_error), "calibration error; 0 is best"),
            tile(number(calibration.brier_score), "Brier score; 0 is best, 2 worst"),
            tile(count(calibration.rows), "signals that were due, HOLD too"),
        ),
        legend({**sides, "limit": "said = came true"}),
        reliability_chart(calibration.points),
        behind("The numbers behind it", table(headings, rows, numeric=(2, 3, 4))),
    )
