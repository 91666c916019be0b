"""The promotions log: who decided which model's signals go out, from when on, and why.

Rows are only ever appended. Champion and challenger are never stored: they follow from the log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.sessions import last_closed_session, offset_session, require_session
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

DecisionKind = Literal["promoted", "refused", "promoted_by_hand", "rolled_back", "withdrawn"]
GATE = "gate"
"""Who decided where no person did."""
ANY_CHAMPION = "*"
"""In place of a model's version: the decision holds whoever is champion."""

IN_FORCE = """
WITH asked AS (SELECT unnest($1::DATE[]) AS session),
known AS (
    SELECT * FROM promotions JOIN model_metadata USING (model_version)
    WHERE $2::TIMESTAMPTZ IS NULL OR decided_at <= $2::TIMESTAMPTZ
),
standing AS (
    SELECT asked.session, known.* FROM asked JOIN known ON known.as_of_session <= asked.session
    WHERE decision IN ('promoted', 'promoted_by_hand', 'rolled_back') AND NOT EXISTS (
        FROM known AS later
        WHERE later.decision = 'withdrawn' AND later.model_version = known.model_version
            AND later.sequence > known.sequence
            AND later.effective_session < known.effective_session
            AND later.effective_session <= asked.session
    )
),
champions AS (
    SELECT 'champion' AS role, * FROM standing WHERE effective_session <= session
    QUALIFY row_number() OVER (
        PARTITION BY session ORDER BY effective_session DESC, sequence DESC
    ) = 1
),
challengers AS (
    SELECT 'challenger' AS role, * FROM standing
    WHERE effective_session > session AND decision = 'promoted'
        AND (session, model_version) NOT IN (SELECT (session, model_version) FROM champions)
    QUALIFY row_number() OVER (
        PARTITION BY session ORDER BY effective_session, sequence DESC
    ) = 1
)
SELECT * FROM (FROM champions UNION ALL FROM challengers) ORDER BY session, role
"""
"""Champion and challenger of the sessions $1 by what was decided until $2 (null: until now).

A withdrawal undoes the promotions before it that had not taken effect by its own session; sessions
before that one keep the challenger they had. Of several in shadow the next to take effect is the
challenger. A model takes part from its as-of session on.
"""


@dataclass(frozen=True)
class Decision:
    """What was decided about a model: by whom, when, why, and from which session on.

    `effective_session` is None for a refusal; `rules` is the JSON list of what the gate judged.
    `judged_against` is the champion that it was compared with, None where there was none.
    """

    decision: DecisionKind
    model_version: str
    effective_session: dt.date | None
    decided_at: dt.datetime
    decided_by: str
    reason: str
    rules: str = "[]"
    replaced: str | None = None
    judged_against: str | None = ANY_CHAMPION


def gate_decision(
    model_version: str,
    as_of: dt.date,
    *,
    passed: bool,
    reason: str,
    rules: str,
    shadow_sessions: int,
    at: dt.datetime,
    judged_against: str | None = ANY_CHAMPION,
) -> Decision:
    """Lay out the gate's verdict; a promotion takes effect `shadow_sessions` after `as_of`."""
    effective = offset_session(as_of, shadow_sessions) if passed else None
    kind: DecisionKind = "promoted" if passed else "refused"
    return Decision(
        kind, model_version, effective, at, GATE, reason, rules, judged_against=judged_against
    )


def append_decision(connection: Connection, decision: Decision) -> Decision:
    """Append to the log inside a transaction that has recorded the model; return what was decided.

    A model that the gate promoted before keeps that row: training it again must not undo the
    rollback that followed. One that was compared with a champion that is none any more is refused:
    of two trained at once, the later has not shown that it is better than the earlier.

    Raises:
        InputError: it gives no reason, or takes effect before the model's as-of session.
        MissingDataError: the model is not recorded.
    """
    as_of = _as_of(connection, decision.model_version)
    _check(decision, as_of)
    if decision.decision == "promoted" and _was_promoted(connection, decision.model_version):
        return decision
    if decision.decision in ("promoted", "promoted_by_hand", "rolled_back"):
        before = _champion(connection, decision.effective_session)
        decision = _still_valid(replace(decision, replaced=before))
    connection.execute(
        "INSERT INTO promotions"
        " SELECT coalesce(max(sequence), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ? FROM promotions",
        [
            decision.decided_at,
            decision.decision,
            decision.model_version,
            decision.effective_session,
            decision.replaced,
            decision.decided_by,
            decision.reason,
            decision.rules,
        ],
    )
    return decision


def _still_valid(decision: Decision) -> Decision:
    champions = (ANY_CHAMPION, decision.replaced)
    if decision.judged_against in champions or decision.replaced == decision.model_version:
        return decision
    return replace(
        decision,
        decision="refused",
        effective_session=None,
        replaced=None,
        reason=f"{decision.replaced} became champion while this was judged against "
        f"{decision.judged_against or 'none'}; train again",
    )


def promote_by_hand(
    memory: ModelMemory,
    model_version: str,
    *,
    reason: str,
    by: str,
    effective_session: dt.date,
    at: dt.datetime,
) -> None:
    """Make a recorded model champion from a session on, whatever the gate said.

    Raises:
        InputError: it is champion then already, was trained as of a later session, or there is no
            reason.
        MissingDataError: no such model is recorded.
    """
    require_session(effective_session, where=f"promotion of {model_version}")
    with memory.transaction() as connection:
        if _champion(connection, effective_session) == model_version:
            raise InputError(
                f"{model_version} is the champion of {effective_session} already",
                where=str(memory.path),
                fix="nothing is to be done; turbomode models live shows who signals",
            )
        decision = Decision(
            "promoted_by_hand", model_version, effective_session, at, by, reason.strip()
        )
        append_decision(connection, decision)


def roll_back(
    memory: ModelMemory, *, reason: str, by: str, effective_session: dt.date, at: dt.datetime
) -> str:
    """Return to the champion before the present one, which loses what it had pending; name it.

    A second rollback goes one champion further back.

    Raises:
        InputError: there is no champion before, or no reason.
    """
    with memory.transaction() as connection:
        reigns = _succession(connection, effective_session)
        if len(reigns) < 2:
            standing = f"{reigns[0]} is the first champion" if reigns else "there is no champion"
            raise InputError(
                f"nothing to roll back to at {effective_session}: {standing}",
                where=str(memory.path),
                fix="turbomode models list shows the others; turbomode models promote VERSION "
                "--reason '...' makes one of them champion",
            )
        decision = Decision("rolled_back", reigns[-2], effective_session, at, by, reason.strip())
        append_decision(connection, decision)
        if _has_pending(connection, reigns[-1], effective_session):
            append_decision(
                connection, replace(decision, decision="withdrawn", model_version=reigns[-1])
            )
    return reigns[-2]


def withdraw(
    memory: ModelMemory,
    model_version: str,
    *,
    reason: str,
    by: str,
    effective_session: dt.date,
    at: dt.datetime,
) -> None:
    """Cancel a model's promotion that has not taken effect by `effective_session`.

    Raises:
        InputError: there is none, or no reason.
        MissingDataError: no such model is recorded.
    """
    with memory.transaction() as connection:
        _as_of(connection, model_version)
        if not _has_pending(connection, model_version, effective_session):
            raise InputError(
                f"no promotion of {model_version} is still to take effect after "
                f"{effective_session}",
                where=str(memory.path),
                fix="if it is the champion, turbomode models rollback --reason '...' returns to "
                "the one before",
            )
        append_decision(
            connection,
            Decision("withdrawn", model_version, effective_session, at, by, reason.strip()),
        )


def promotions(memory: ModelMemory) -> pl.DataFrame:
    """Every decision ever made, in order."""
    return memory.query("FROM promotions ORDER BY sequence")


def live_at(memory: ModelMemory, moment: dt.datetime) -> pl.DataFrame:
    """Champion and challenger of the session last closed at a moment, as decided until then.

    One row for each that there was, with its decision and its model's record.
    """
    return in_force(memory, [last_closed_session(moment)], decided_until=moment)


def in_force(
    memory: ModelMemory, sessions: Sequence[dt.date], *, decided_until: dt.datetime | None = None
) -> pl.DataFrame:
    """Champion and challenger of each session, by what was decided until a moment or until now."""
    return memory.query(IN_FORCE, [list(sessions), decided_until])


def _check(decision: Decision, as_of: dt.date) -> None:
    where = f"{decision.decision} {decision.model_version}"
    if not decision.reason:
        raise InputError(
            "a decision about a model needs a reason",
            where=where,
            fix="say why with --reason: the log keeps it",
        )
    effective = decision.effective_session
    if effective is None:
        return
    require_session(effective, where=where)
    if effective < as_of:
        raise InputError(
            f"a model trained as of {as_of} cannot signal from {effective} on: it has seen what "
            "came after",
            where=where,
            fix=f"let it take effect on {as_of} or later",
        )


def _as_of(connection: Connection, model_version: str) -> dt.date:
    found = connection.execute(
        "SELECT as_of_session FROM model_metadata WHERE model_version = ?", [model_version]
    ).fetchall()
    if not found:
        raise MissingDataError(
            f"no model {model_version} is recorded",
            where="model memory, table model_metadata",
            fix="turbomode models list shows every model",
        )
    as_of: dt.date = found[0][0]
    return as_of


def _champion(connection: Connection, session: dt.date | None) -> str | None:
    rows: pl.DataFrame = connection.sql(IN_FORCE, params=[[session], None]).pl()
    champions = rows.filter(pl.col("role") == "champion").get_column("model_version")
    return None if champions.is_empty() else str(champions[0])


def _was_promoted(connection: Connection, model_version: str) -> bool:
    found = connection.execute(
        "FROM promotions WHERE model_version = ? AND decision = 'promoted' LIMIT 1", [model_version]
    ).fetchall()
    return bool(found)


def _standing(connection: Connection) -> list[tuple[str, str, dt.date]]:
    """Model, decision and effective session of all that is not withdrawn, in order of effect."""
    rows: list[tuple[str, str, dt.date]] = connection.execute(
        """
        SELECT model_version, decision, effective_session FROM promotions AS p
        WHERE decision IN ('promoted', 'promoted_by_hand', 'rolled_back') AND NOT EXISTS (
            FROM promotions AS later
            WHERE later.decision = 'withdrawn' AND later.model_version = p.model_version
                AND later.sequence > p.sequence AND later.effective_session < p.effective_session
        )
        ORDER BY effective_session, sequence
        """
    ).fetchall()
    return rows


def _has_pending(connection: Connection, model_version: str, session: dt.date) -> bool:
    return any(
        model == model_version and effective > session
        for model, _, effective in _standing(connection)
    )


def _succession(connection: Connection, session: dt.date) -> list[str]:
    """Champions up to a session, each once the one before it; a rollback takes off the last."""
    reigns: list[str] = []
    for model, decision, effective in _standing(connection):
        if effective > session:
            break
        if decision == "rolled_back" and model in reigns:
            while reigns[-1] != model:
                reigns.pop()
        elif reigns[-1:] != [model]:
            reigns.append(model)
    return reigns
