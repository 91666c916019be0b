"""The document of an acceptance says what came of each part, whatever that was."""

import datetime as dt

import pytest

from turbomode_assets_tests import acceptance
from turbomode_assets_tests.acceptance import Part, document, run_part

CASES = """
import pytest

def test_that_holds():
    print("edge 0.15: promoted")

def test_that_fails():
    assert False

def test_that_skips():
    pytest.skip("no market data")
"""


@pytest.fixture
def cases(tmp_path, monkeypatch):
    monkeypatch.setattr(acceptance, "REPOSITORY", tmp_path)
    (tmp_path / "test_cases.py").write_text(CASES, encoding="utf-8")


@pytest.mark.usefixtures("cases")
def test_a_part_counts_what_passed_failed_and_skipped_and_keeps_its_figures():
    result = run_part(Part("three", ("-s", "test_cases.py"), has_figures=True))
    assert (result.passed, result.failed, result.skipped) == (1, ("test_cases.test_that_fails",), 1)
    text = document([result], commit="abc", today=dt.date(2026, 1, 2))
    assert "on 2026-01-02, commit abc" in text
    assert "| three | 1 | 1 | 1 | 0 |" in text
    assert "- test_cases.test_that_fails" in text
    assert "edge 0.15: promoted" in text


@pytest.mark.usefixtures("cases")
def test_a_part_that_could_not_run_has_failed():
    assert run_part(Part("none", ("no_such_file.py",))).failed == ("pytest ended with 4",)
