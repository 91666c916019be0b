"""What ran in the last nights, as of now."""

from turbomode_assets.nightly.figures import NightlyReport, Run
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import duration, figure, minute, word

COLUMNS = (
    Column("job", lambda run: run.job, "wide"),
    Column("status", lambda run: word(run.status)),
    Column("sessions", lambda run: run.sessions or "–"),
    Column("started", lambda run: minute(run.created_at)),
    Column("took", lambda run: duration(run.seconds), "n"),
    Column("run", lambda run: figure(run.run_id, run.run_id[:8])),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the runs, each with the reason and what it left undone under it where it failed."""
    runs = report.runs
    return SectionValues(runs.why_none, {"table": table(COLUMNS, runs.rows, note=_note)})


def _note(run: Run) -> str | None:
    left = f"left undone: {run.left_undone}" if run.left_undone else None
    return "; ".join(filter(None, (run.failure, left))) or None


SECTION = Section("runs", "Runs of the last nights", values)
