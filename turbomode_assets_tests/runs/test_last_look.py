import datetime as dt

import pytest

from turbomode_assets.reports.tasks import LastRun, TaskRow
from turbomode_assets.runs.last_look import TaskLook, forget_look, keep_look, kept_look

AT = dt.datetime(2017, 11, 11, 3, 46, 5, 123_456, tzinfo=dt.UTC)
LATER = AT + dt.timedelta(seconds=30)
FAILED = LastRun("2017-11-10", "failed", AT, 20.4, "no champion", "signals of 2017-11-10")
ROWS = [
    TaskRow("scanner", True, AT, FAILED, ("2017-11-10 is tried again", "and waits")),
    TaskRow("maintenance", False, LATER, None, ()),
]


def test_a_look_is_kept_whole_and_a_later_one_takes_its_place(tmp_path):
    keep_look(tmp_path, TaskLook(AT, ROWS))
    assert kept_look(tmp_path, after=AT) == TaskLook(AT, ROWS)
    keep_look(tmp_path, TaskLook(LATER, ROWS[:1]))
    assert kept_look(tmp_path, after=AT) == TaskLook(LATER, ROWS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]


def test_a_look_from_before_the_moment_is_none(tmp_path):
    keep_look(tmp_path, TaskLook(AT, ROWS))
    assert kept_look(tmp_path, after=LATER) is None


def test_a_look_that_was_forgotten_or_never_kept_is_none(tmp_path):
    forget_look(tmp_path)
    assert kept_look(tmp_path, after=AT) is None
    keep_look(tmp_path, TaskLook(AT, ROWS))
    forget_look(tmp_path)
    assert kept_look(tmp_path, after=AT) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"at": "2017-11-11T03:46:05Z", "rows": [{}]}'])
def test_a_look_that_another_version_kept_is_none(tmp_path, content):
    (tmp_path / "tasks.json").write_bytes(content)
    assert kept_look(tmp_path, after=AT) is None
