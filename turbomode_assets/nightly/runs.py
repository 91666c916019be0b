"""What ran lately, as the nightly page tells it."""

import datetime as dt

from turbomode_assets.nightly.figures import Run, Runs
from turbomode_assets.runs.failures import unrepaired
from turbomode_assets.runs.history import RunHistory
from turbomode_assets.runs.records import RunFailure, RunRecord, RunStatus

SHOWN_RUNS = 30
SHOWN_DAYS = 7
FAILURE_LENGTH = 240


def gather_runs(history: RunHistory, session: dt.date, now: dt.datetime) -> Runs:
    """Return the runs of the last days, the newest first, with the reasons of those that failed.

    Of many, the newest, and older ones that failed and whose work was not all done since.
    """
    since = now - dt.timedelta(days=SHOWN_DAYS)
    records = sorted(history.created_since(since), key=lambda run: run.number, reverse=True)
    undone = {failure.latest.run_id: str(failure.undone) for failure in unrepaired(records)}
    newest, older = records[:SHOWN_RUNS], records[SHOWN_RUNS:]
    shown = [*newest, *(run for run in older if run.run_id in undone)]
    if shown:
        return Runs(tuple(_told(history, run, session, undone.get(run.run_id)) for run in shown))
    return Runs(why_none=f"Nothing ran since {since:%Y-%m-%d %H:%M} UTC. Is the daemon running?")


def _told(history: RunHistory, run: RunRecord, session: dt.date, left_undone: str | None) -> Run:
    has_failed = run.status is RunStatus.FAILURE
    return Run(
        run_id=run.run_id,
        job=run.name,
        sessions=str(run.sessions) if run.sessions else None,
        status=run.status.value,
        created_at=run.created_at,
        seconds=run.seconds,
        failure=_shortened(history.failure_of(run.run_id)) if has_failed else None,
        covers_session=run.covers(session),
        left_undone=left_undone,
    )


def _shortened(failure: RunFailure) -> str:
    line = f"{failure.step}: {failure.line}" if failure.step else failure.line
    return line if len(line) <= FAILURE_LENGTH else f"{line[: FAILURE_LENGTH - 1]}…"
