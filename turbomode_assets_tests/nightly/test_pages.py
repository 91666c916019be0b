"""The folder of nightly pages: whole files only, and the newest under a name of its own."""

import datetime as dt

import pytest

from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.stores import Artifacts

THURSDAY, FRIDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10)


@pytest.fixture
def pages(tmp_path):
    return NightlyPages(Artifacts(tmp_path))


def names_in(pages):
    return sorted(path.name for path in pages.folder.iterdir())


def test_a_page_and_its_figures_lie_side_by_side_and_are_the_latest(pages):
    path = pages.write(FRIDAY, "<p>ü</p>", "{}")
    assert path == pages.page(FRIDAY)
    assert path.read_text(encoding="utf-8") == "<p>ü</p>"
    assert pages.figures(FRIDAY).read_text(encoding="utf-8") == "{}"
    assert names_in(pages) == ["2017-11-10.html", "2017-11-10.json", "latest.html", "latest.json"]
    assert (pages.folder / "latest.html").read_text(encoding="utf-8") == "<p>ü</p>"


def test_an_older_page_leaves_the_latest_as_it_is(pages):
    pages.write(FRIDAY, "friday", "1")
    pages.write(THURSDAY, "thursday", "2")
    assert (pages.folder / "latest.html").read_text() == "friday"
    assert (pages.folder / "latest.json").read_text() == "1"
    assert pages.sessions() == [THURSDAY, FRIDAY]
    pages.write(FRIDAY, "again", "3")
    assert (pages.folder / "latest.html").read_text() == "again"


def test_a_page_that_cannot_be_written_leaves_the_one_before(pages):
    pages.write(FRIDAY, "whole", "1")
    before = names_in(pages)
    with pytest.raises(UnicodeEncodeError):
        pages.write(FRIDAY, "\ud800", "2")
    assert pages.page(FRIDAY).read_text() == "whole"
    assert names_in(pages) == before


def test_no_page_was_written_yet(pages):
    assert pages.sessions() == []
