"""Templates escape all that is not markup; figures stand for people and for machines."""

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from turbomode_assets.reports.html.rendering import render
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import count, figure, percent, price, word
from turbomode_assets.reports.wording import amount_tick
from turbomode_assets_tests.reports.html_reading import read_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("templates")
    (path / "one.html").write_text('<p title="{{ title }}">{{ child }}</p>')
    (path / "rows.html").write_text(
        '{% import "parts.html" as parts with context %}{{ parts.table(view) }}'
    )
    return path


@given(st.text(), st.text())
def test_whatever_is_put_into_a_template_comes_back_as_text(folder, child, title):
    read = read_page(render("one.html", folder, child=child, title=title))
    # Parsers make one of the ways to end a line.
    assert [name for name, _ in read.elements] == ["p"]
    assert read.text.replace("\r\n", "\n").replace("\r", "\n") == child.replace(
        "\r\n", "\n"
    ).replace("\r", "\n")
    assert read.elements[0][1]["title"] == title


def test_a_value_that_nobody_gave_is_an_error(folder):
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render("one.html", folder, child="x")


def test_figures_stand_for_people_and_for_machines():
    assert figure(0.1, "10 %") == '<data value="0.1">10 %</data>'
    assert count(1234) == '<data value="1234">1,234</data>'
    assert percent(0.5) == '<data value="0.5">50.0 %</data>'
    assert price(0.01234) == '<data value="0.01234">0.01234</data>'
    assert "–" in percent(None)
    assert amount_tick(1_250_000) == "1.25M"
    assert word("<BUY>") == '<span class="side t-&lt;buy&gt;">&lt;BUY&gt;</span>'


def test_a_table_lays_out_what_its_columns_say(folder):
    columns = (
        Column("name", lambda row: row[0], "wide"),
        Column("number", lambda row: count(row[1]), "n"),
    )
    view = table(columns, [("<a>", 1), ("b", 2)], note=lambda row: "look" if row[1] == 2 else None)
    read = read_page(render("rows.html", folder, view=view))
    assert read.text.split() == ["namenumber", "<a>1", "b2", "look"]
    assert ("th", {"class": "n", "scope": "col"}) in read.elements
    assert ("td", {"colspan": "2"}) in read.elements
    assert table(columns, []) is None
    assert isinstance(count(1), Markup)
