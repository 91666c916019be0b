import datetime as dt

from turbomode_assets.reports.tasks import LastRun, TaskRow, task_lines

DUE = dt.datetime(2017, 11, 14, 3, 45, tzinfo=dt.UTC)
SEEN = dt.datetime(2017, 11, 11, 3, 46, 5, tzinfo=dt.UTC)
BEGAN = dt.datetime(2017, 11, 11, 3, 45, 20, tzinfo=dt.UTC)


def text(*rows, width=80):
    lines = task_lines(rows, seen_at=SEEN, zone="America/New_York", width=width)
    return "\n".join(line.plain for line in lines)


def row(last, *, is_on=True, notes=()):
    return TaskRow("drift_monitor", is_on, DUE, last, tuple(notes))


def test_a_task_is_told_in_a_line_with_times_of_the_zone():
    last = LastRun("2017-11-10", "succeeded", BEGAN, 20.4, None)
    assert text(row(last)).splitlines() == [
        "Tasks at 22:46:05 (America/New_York)",
        "                    next             last run              began           took",
        "  drift_monitor on  Mon 11-13 22:45  2017-11-10 succeeded  11-10 22:45     20 s",
    ]


def test_one_that_failed_says_why_and_what_it_waits_for():
    last = LastRun("2017-11-10", "failed", BEGAN, None, "no champion")
    *_, shown, error, note = text(row(last, notes=["2017-11-10 is tried again"])).splitlines()
    assert shown.startswith("  drift_monitor on  Mon 11-13 22:45  2017-11-10 failed")
    assert (error, note) == ("    no champion", "    2017-11-10 is tried again")


def test_one_that_is_off_or_never_ran_says_so():
    assert text(row(None, is_on=False)).splitlines()[-1] == (
        "  drift_monitor off -                never ran"
    )


def test_every_line_of_a_task_fits_a_narrow_terminal():
    longest = LastRun("2017-11-10", "under way", BEGAN, 1_234_567.0, None)
    assert all(len(line) <= 80 for line in text(row(longest), width=20).splitlines())
