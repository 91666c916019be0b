"""What became of signals, by the label function itself: won, lost or expired, and how often."""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.columns import (
    CLASSES,
    DECISION_SESSION,
    LABEL,
    SESSION,
    SIGNAL_KEY,
    SYMBOL,
)
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import session_index, session_indices, sessions_between

OUTCOMES = ("win", "loss", "expired")
OUTCOME_SCHEMA = pl.Schema(
    {
        SESSION: pl.Date(),
        SYMBOL: pl.String(),
        "model_version": pl.String(),
        "role": pl.String(),
        "signal": pl.String(),
        LABEL: pl.Int8(),
        "exit_reason": pl.String(),
        "entry_session": pl.Date(),
        "exit_session": pl.Date(),
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "return": pl.Float64(),
        "outcome": pl.String(),
        "known_session": pl.Date(),
    }
)
UNSETTLED_SCHEMA = pl.Schema(
    {
        "reason": pl.String(),
        SESSION: pl.Date(),
        "due_session": pl.Date(),
        SYMBOL: pl.String(),
        "model_version": pl.String(),
        "signal": pl.String(),
    }
)
FIGURES_SCHEMA = pl.Schema(
    {
        "by": pl.String(),
        "group": pl.String(),
        "rows": pl.Int64(),
        "wins": pl.Int64(),
        "losses": pl.Int64(),
        "expired": pl.Int64(),
        "hit_rate": pl.Float64(),
        "came_true": pl.Float64(),
        "mean_probability": pl.Float64(),
        "expectancy": pl.Float64(),
    }
)

RULE_UNKNOWN = "no label rule was recorded with its model"
RULE_OTHER = "the labels follow another rule than its model's"
LABELS_ABSENT = "labels were not materialized up to its last session"
LABEL_ABSENT = "no label: no bar to enter at, or no volatility to set barriers by"
NOT_CLOSED = "its label is known; outcomes were not materialized since"

_COLUMN_OF_CLASS = {name: number for number, name in enumerate(CLASSES)}
_SIDES = {"SELL": -1, "HOLD": None, "BUY": 1}
_IS_POSITION = pl.col("signal") != "HOLD"


def close_signals(signals: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Give every signal that has a label its outcome: OUTCOME_SCHEMA, sorted by its key.

    `signals` has session, symbol, model_version, role, signal, and `labels` follows the labels
    table. Both have `rule_digest`, of the rule that the signal's model was trained for and of the
    one that the label was made by: only a label of the same rule closes a signal.

    The return is that of the side: of a SELL, minus the label's. A win touched the barrier of its
    side first, a loss the other's, what expired neither: the vertical barrier or a delisting came.
    Missing: HOLD is no position; its row holds the label, and neither return nor outcome.

    Raises:
        ContractError: a decision has two labels of one rule.
    """
    # Labels that go over to another rule may decide again what the former had decided.
    decision = [SYMBOL, DECISION_SESSION, "rule_digest"]
    repeated = labels.filter(pl.struct(decision).is_duplicated())
    if repeated.height:
        raise ContractError(
            f"decisions with two labels: "
            f"{describe_rows(repeated, [SYMBOL, DECISION_SESSION, SESSION])}",
            where="table labels",
            fix="materialize labels again for a range over all these sessions",
        )
    known = labels.rename({SESSION: "known_session", DECISION_SESSION: SESSION})
    joined = signals.join(
        known, on=[SYMBOL, SESSION, "rule_digest"], how="inner", validate="m:1"
    ).with_columns(side=pl.col("signal").replace_strict(_SIDES, return_dtype=pl.Int8))
    # A label is 0, 1 or 2 for the stop, neither, or the profit barrier: towards the side is a win.
    towards = (pl.col(LABEL) - 1) * pl.col("side")
    outcome = towards.replace_strict({1: "win", -1: "loss", 0: "expired"}, default=None)
    closed = joined.with_columns(
        outcome=outcome.cast(pl.String), **{"return": pl.col("return") * pl.col("side")}
    )
    return closed.select(pl.col(name).cast(dtype) for name, dtype in OUTCOME_SCHEMA.items()).sort(
        SIGNAL_KEY
    )


def name_unsettled(
    signals: pl.DataFrame, labels: pl.DataFrame, rules: pl.DataFrame, *, as_of: dt.date
) -> pl.DataFrame:
    """Say of every signal that is due by a session why it has no outcome: UNSETTLED_SCHEMA.

    `signals` are those without an outcome, with `rule_digest` as in `close_signals`, and
    `label_sessions` from their session to the vertical barrier's, on which they are due (both null
    where no rule was recorded: due at once). `labels` are known by `as_of`; `rules` has session and
    rule_digest of every session whose labels were made.
    """
    due_at = session_indices(signals[SESSION]) + signals["label_sessions"].fill_null(0)
    waiting = signals.with_columns(due_at=due_at).filter(pl.col("due_at") <= session_index(as_of))
    if waiting.is_empty():
        return UNSETTLED_SCHEMA.to_frame()
    calendar = sessions_between(waiting[SESSION].min(), as_of)  # type: ignore[arg-type]  # a date
    first = session_index(calendar[0])
    waiting = waiting.with_columns(
        due_session=pl.Series(calendar, dtype=pl.Date).gather(waiting["due_at"] - first)
    )
    labelled = labels.select(SYMBOL, pl.col(DECISION_SESSION).alias(SESSION), "rule_digest")
    decided = [SYMBOL, SESSION, "rule_digest"]
    open_still = waiting.join(labelled, on=decided, how="anti")
    closable = waiting.join(labelled, on=decided, how="semi")
    cases = open_still.select(SESSION, "due_session", "rule_digest").unique()
    made = dict(rules.select(SESSION, "rule_digest").iter_rows())
    reasons = [_reason(session, due, rule, made) for session, due, rule in cases.iter_rows()]
    named = open_still.join(
        cases.with_columns(reason=pl.Series(reasons, dtype=pl.String)),
        on=[SESSION, "due_session", "rule_digest"],
        how="left",
        validate="m:1",
        nulls_equal=True,
    )
    told = pl.concat(
        [
            named.select(UNSETTLED_SCHEMA.names()),
            closable.with_columns(reason=pl.lit(NOT_CLOSED)).select(UNSETTLED_SCHEMA.names()),
        ]
    )
    return told.sort(SIGNAL_KEY)


def _reason(
    session: dt.date, due_session: dt.date, rule: str | None, made: dict[dt.date, str]
) -> str:
    """Why a signal without a label of its model's rule has none."""
    if rule is None:
        return RULE_UNKNOWN
    found = {made.get(each) for each in sessions_between(session, due_session)[1:]}
    if None in found:
        return LABELS_ABSENT
    return LABEL_ABSENT if found == {rule} else RULE_OTHER


def fully_known(outcomes: pl.DataFrame, *, as_of: dt.date) -> pl.DataFrame:
    """Keep outcomes of signals that were due by a session, by `label_sessions` as `name_unsettled`.

    Among younger signals those that ended already are a selected sample with hardly any that
    expires: figures of it would flatter.
    """
    due_at = session_indices(outcomes[SESSION]) + outcomes["label_sessions"]
    return outcomes.filter(due_at <= session_index(as_of))


def outcome_figures(outcomes: pl.DataFrame, regimes: pl.DataFrame | None = None) -> pl.DataFrame:
    """Sum up outcomes: FIGURES_SCHEMA, one row for each group that has any.

    `outcomes` has the columns of OUTCOME_SCHEMA, and p_sell, p_hold, p_buy; take `fully_known`
    ones. Groups, under `by`:
    all positions; side (HOLD too); confidence, in tenths of the signalled side's probability
    (lower edge included, the last tenth's upper one too), and hold confidence, the same of HOLD;
    and with `regimes` (session, regime) the regime of the signal's session.

    Formula: hit_rate = wins / (wins + losses); came_true = share of rows whose label is the class
    that was signalled, to be compared with mean_probability, the mean of what it was given;
    expectancy = mean return, signed by side, before costs.
    Missing: hit_rate is null where nothing won or lost, expectancy for HOLD; a session without a
    regime counts as `unknown`.
    """
    given = pl.col("signal").replace_strict(_COLUMN_OF_CLASS, return_dtype=pl.Int8)
    said = pl.concat_list("p_sell", "p_hold", "p_buy").list.get(given)
    rows = outcomes.sort(SIGNAL_KEY).with_columns(
        probability=said, is_true=pl.col(LABEL) == given, everything=pl.lit("positions")
    )
    rows = rows.with_columns(tenth=_tenth(pl.col("probability")))
    positions, held = rows.filter(_IS_POSITION), rows.filter(~_IS_POSITION)
    figures = [
        _figures(positions, "all", "everything"),
        _figures(rows, "side", "signal"),
        _figures(positions, "confidence", "tenth"),
        _figures(held, "hold confidence", "tenth"),
    ]
    if regimes is not None:
        named = positions.join(
            regimes.select(SESSION, "regime"), on=SESSION, how="left", validate="m:1"
        ).with_columns(pl.col("regime").fill_null("unknown"))
        figures.append(_figures(named, "regime", "regime"))
    return pl.concat(figures)


def _tenth(probability: pl.Expr) -> pl.Expr:
    # Compared with each edge: 10 * 0.7 rounds, and would put a neighbour of an edge beyond it.
    number = pl.sum_horizontal((probability >= edge / 10).cast(pl.Int8) for edge in range(1, 10))
    names = {edge: f"{edge / 10:.1f} to {(edge + 1) / 10:.1f}" for edge in range(10)}
    return number.replace_strict(names, return_dtype=pl.String)


def _figures(rows: pl.DataFrame, by: str, column: str) -> pl.DataFrame:
    wins, losses, expired = ((pl.col("outcome") == outcome).sum() for outcome in OUTCOMES)
    decided = pl.col("wins") + pl.col("losses")
    return (
        rows.group_by(group=column)
        .agg(
            by=pl.lit(by),
            rows=pl.len(),
            wins=wins,
            losses=losses,
            expired=expired,
            came_true=pl.col("is_true").mean(),
            mean_probability=pl.col("probability").mean(),
            expectancy=pl.col("return").mean(),
        )
        .with_columns(hit_rate=pl.when(decided > 0).then(pl.col("wins") / decided))
        .select(pl.col(name).cast(dtype) for name, dtype in FIGURES_SCHEMA.items())
        .sort("group")
    )
