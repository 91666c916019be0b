import datetime as dt
from pathlib import Path

import pytest

from turbomode_assets.reports.tasks import LastRun, TaskRow
from turbomode_assets.runs.last_look import TaskLook, forget_look, keep_look, kept_look

AT = dt.datetime(2017, 11, 11, 3, 46, 5, 123_456, tzinfo=dt.UTC)
ROUND = dt.timedelta(seconds=30)
LATER = AT + ROUND
FAILED = LastRun("2017-11-10", "failed", AT, 20.4, "no champion", "signals of 2017-11-10")
ROWS = [
    TaskRow("scanner", True, AT, FAILED, ("2017-11-10 is tried again", "and waits")),
    TaskRow("maintenance", False, LATER, None, ()),
]


def test_a_look_is_kept_whole_and_a_later_one_takes_its_place(tmp_path):
    keep_look(tmp_path, TaskLook(AT, ROWS))
    assert kept_look(tmp_path, now=AT, within=ROUND) == TaskLook(AT, ROWS)
    keep_look(tmp_path, TaskLook(LATER, ROWS[:1]))
    assert kept_look(tmp_path, now=LATER, within=ROUND) == TaskLook(LATER, ROWS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]


@pytest.mark.parametrize(
    "now", [LATER + dt.timedelta(microseconds=1), AT - dt.timedelta(seconds=1)]
)
def test_a_look_from_long_ago_or_from_the_future_is_none(tmp_path, now):
    keep_look(tmp_path, TaskLook(AT, ROWS))
    assert kept_look(tmp_path, now=LATER, within=ROUND) == TaskLook(AT, ROWS)
    assert kept_look(tmp_path, now=now, within=ROUND) is None


def test_what_cannot_be_written_leaves_the_look_before_it(tmp_path, monkeypatch):
    keep_look(tmp_path, TaskLook(AT, ROWS))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        keep_look(tmp_path, TaskLook(LATER, []))
    assert kept_look(tmp_path, now=AT, within=ROUND) == TaskLook(AT, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]


def test_a_look_that_was_forgotten_or_never_kept_is_none(tmp_path):
    forget_look(tmp_path)
    assert kept_look(tmp_path, now=AT, within=ROUND) is None
    keep_look(tmp_path, TaskLook(AT, ROWS))
    forget_look(tmp_path)
    assert kept_look(tmp_path, now=AT, within=ROUND) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"at": "2017-11-11T03:46:05Z", "rows": [{}]}'])
def test_a_look_that_another_version_kept_is_none(tmp_path, content):
    (tmp_path / "tasks.json").write_bytes(content)
    assert kept_look(tmp_path, now=AT, within=ROUND) is None
