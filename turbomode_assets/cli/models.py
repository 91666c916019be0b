"""`turbomode models`: what was trained, what was decided about it, and who signals."""

import datetime as dt
import getpass
import json
from collections.abc import Iterable, Mapping, Sequence

import click
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.sessions import last_closed_session
from turbomode_assets.settings import Settings
from turbomode_assets.stores.memory import ModelMemory
from turbomode_assets.stores.promotions import live_at, promote_by_hand, roll_back, withdraw

_SESSION = click.option(
    "--session",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    default=None,
    help="From which session on, YYYY-MM-DD; the last closed one if not given.",
)
_REASON = click.option("--reason", required=True, help="Why; the log keeps it.")
_MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

_TOO_LONG = ("metrics", "configuration")
"""What a model's record holds that no terminal can show; its digest and scores are shown."""
_PROSE = ("value", "cause")
"""Columns that may be folded where the terminal is narrow."""
_UNBOUNDED = 10_000

_NEWEST_FIRST = """
SELECT m.model_version, cause, decision, effective_session
FROM model_metadata AS m
LEFT JOIN (
    FROM training_runs
    QUALIFY row_number() OVER (PARTITION BY model_version ORDER BY finished_at DESC) = 1
) USING (model_version)
LEFT JOIN (
    FROM promotions
    QUALIFY row_number() OVER (PARTITION BY model_version ORDER BY sequence DESC) = 1
) USING (model_version)
ORDER BY m.as_of_session DESC, trained_at DESC
"""


@click.group()
def models() -> None:
    """Look at trained models; promote, withdraw or roll back."""


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Every model, newest first, with the last decision about it."""
    memory = _memory()
    rows = memory.query(_NEWEST_FIRST)
    roles = dict(live_at(memory, _now()).select("model_version", "role").iter_rows())
    if as_json:
        models = rows.iter_rows(named=True)
        print_json([{"role": roles.get(row["model_version"])} | row for row in models])
        return
    _print_table(
        "Models",
        ("model", "role", "cause", "decision", "from"),
        ((row[0], roles.get(row[0], ""), *row[1:]) for row in rows.iter_rows()),
    )


@models.command("show")
@click.argument("version")
@json_option
def show(version: str, as_json: bool) -> None:
    """One model: its training, its scores, every decision about it."""
    memory, console = _memory(), Console()
    record = _record(memory, version)
    if as_json:
        print_json(_shown(memory, record))
        return
    told = {name: value for name, value in record.items() if name not in _TOO_LONG}
    _print_table(version, ("", "value"), told.items())
    scores = _scores(memory, version)
    if scores.height:
        _print_table("Out of sample", ("model", "metric", "value"), scores.iter_rows())
    decisions = memory.query("FROM promotions WHERE model_version = ? ORDER BY sequence", [version])
    if decisions.is_empty():
        console.print("Nothing was decided about it.")
    for decision in decisions.iter_rows(named=True):
        _print_decision(console, decision)


@models.command("compare")
@click.argument("first")
@click.argument("second")
@json_option
def compare(first: str, second: str, as_json: bool) -> None:
    """Two models side by side: figures of the gate, and scores."""
    memory = _memory()
    if as_json:
        print_json([_shown(memory, _record(memory, version)) for version in (first, second)])
        return
    figures = [_figures(_record(memory, version)) for version in (first, second)]
    names = list(dict.fromkeys([*figures[0], *figures[1]]))
    _print_table(
        "Figures",
        ("figure", first, second, "change"),
        ((name, *_side_by_side(figures[0].get(name), figures[1].get(name))) for name in names),
    )
    both = _scores(memory, first).join(
        _scores(memory, second), on=["model", "metric"], how="full", coalesce=True, validate="1:1"
    )
    rows = both.sort("model", "metric", maintain_order=True).iter_rows()
    _print_table(
        "Out of sample",
        ("model", "metric", first, second, "change"),
        ((model, metric, *_side_by_side(one, other)) for model, metric, one, other in rows),
    )


@models.command("promote")
@click.argument("version")
@_REASON
@_SESSION
def promote(version: str, reason: str, session: dt.datetime | None) -> None:
    """Make a model the champion by hand, whatever the gate said."""
    memory, now = _memory(), _now()
    since = _effective(session, now)
    promote_by_hand(
        memory, version, reason=reason, by=getpass.getuser(), effective_session=since, at=now
    )
    Console().print(f"{version} is promoted from {since} on.")
    _print_live(memory, _now())


@models.command("withdraw")
@click.argument("version")
@_REASON
@_SESSION
def withdraw_promotion(version: str, reason: str, session: dt.datetime | None) -> None:
    """Cancel a promotion that has not taken effect."""
    memory, now = _memory(), _now()
    since = _effective(session, now)
    withdraw(memory, version, reason=reason, by=getpass.getuser(), effective_session=since, at=now)
    Console().print(f"The promotion of {version} is withdrawn.")
    _print_live(memory, _now())


@models.command("rollback")
@_REASON
@_SESSION
def rollback(reason: str, session: dt.datetime | None) -> None:
    """Return to the champion before the present one."""
    memory, now = _memory(), _now()
    since = _effective(session, now)
    champion = roll_back(
        memory, reason=reason, by=getpass.getuser(), effective_session=since, at=now
    )
    Console().print(f"Rolled back: {champion} signals from {since} on.")
    _print_live(memory, _now())


@models.command("live")
@click.option("--at", "moment", type=_MOMENT, default=None, help="UTC; now if not given.")
@json_option
def live(moment: dt.datetime | None, as_json: bool) -> None:
    """Who signals, or signalled at a time.

    Only what had been decided by that time counts.
    """
    at = _now() if moment is None else moment.replace(tzinfo=dt.UTC)
    if as_json:
        print_json(live_at(_memory(), at).drop("rules").to_dicts())
    else:
        _print_live(_memory(), at)


@models.command("reproduce")
@click.argument("version")
def reproduce_model(version: str) -> None:
    """Train a model again from its record; say whether it is equal."""
    # Loaded here: what trains takes seconds to load, and a rollback must not wait for it.
    from turbomode_assets.cli.reproduce import reproduce

    reproduce(Settings(), version, Console())


def _memory() -> ModelMemory:
    settings = Settings()
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        raise MissingDataError(
            "no model was trained yet",
            where=str(settings.memory_path),
            fix="run `make demo`, or train as the README says",
        )
    return memory


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _effective(session: dt.datetime | None, now: dt.datetime) -> dt.date:
    return last_closed_session(now) if session is None else session.date()


def _record(memory: ModelMemory, version: str) -> dict[str, object]:
    rows = memory.query(
        "FROM model_metadata JOIN training_runs USING (model_version, as_of_session)"
        " WHERE model_version = ? ORDER BY finished_at DESC LIMIT 1",
        [version],
    )
    if rows.is_empty():
        raise MissingDataError(
            f"no model {version} is recorded",
            where=str(memory.path),
            fix="turbomode models list shows every model",
        )
    return rows.row(0, named=True)


def _shown(memory: ModelMemory, record: Mapping[str, object]) -> dict[str, object]:
    """A model as JSON: its record, scores, and every decision about it."""
    version = record["model_version"]
    decisions = memory.query("FROM promotions WHERE model_version = ? ORDER BY sequence", [version])
    parsed = {
        name: json.loads(str(record[name]))
        for name in ("metrics", "configuration", "environment", "store_versions")
        if record.get(name) is not None
    }
    return {
        **record,
        **parsed,
        "scores": _scores(memory, str(version)).to_dicts(),
        "decisions": [
            row | {"rules": json.loads(row["rules"])} for row in decisions.iter_rows(named=True)
        ],
    }


def _figures(record: Mapping[str, object]) -> dict[str, float | None]:
    figures: dict[str, float | None] = json.loads(str(record["metrics"])).get("figures") or {}
    return figures


def _scores(memory: ModelMemory, version: str) -> pl.DataFrame:
    return memory.query(
        "SELECT model, metric, value FROM model_performance WHERE model_version = ?"
        " ORDER BY model, metric",
        [version],
    )


def _side_by_side(one: float | None, other: float | None) -> tuple[float | None, ...]:
    return one, other, None if one is None or other is None else other - one


def _print_live(memory: ModelMemory, moment: dt.datetime) -> None:
    session = last_closed_session(moment)
    rows = live_at(memory, moment)
    if rows.is_empty():
        Console().print(f"Nobody signalled at {session}: no promotion had taken effect.")
        return
    columns = ("role", "model_version", "effective_session", "decision", "decided_by")
    headings = ("role", "model", "from", "decision", "by")
    _print_table(f"Live at {session}", headings, rows.select(columns).iter_rows())
    for role, reason in rows.select("role", "reason").iter_rows():
        Console().print(f"{role}: {reason}", markup=False, soft_wrap=True)


def _print_decision(console: Console, decision: Mapping[str, object]) -> None:
    since = f" from {decision['effective_session']} on" if decision["effective_session"] else ""
    console.print(
        f"{_cell(decision['decided_at'])} {decision['decision']}{since} by "
        f"{decision['decided_by']}: {decision['reason']}",
        markup=False,
        soft_wrap=True,
    )
    rules = json.loads(str(decision["rules"]))
    if rules:
        names = ("name", "figure", "bound", "threshold", "passed")
        _print_table("Gate", names, ([rule[name] for name in names] for rule in rules))


def _print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    console, table = Console(), Table(title=escape(title))
    for heading in headings:
        # A version that is folded over two lines cannot be copied into the next command.
        table.add_column(escape(heading), overflow="fold", no_wrap=heading not in _PROSE)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    unbounded = console.options.update(max_width=_UNBOUNDED)
    if console.measure(table, options=unbounded).maximum > console.width:
        table.padding, table.show_edge = 0, False
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        is_count = value.is_integer() and abs(value) > 1
        return f"{value:.0f}" if is_count else f"{value:.4f}"
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
    return escape(str(value))
