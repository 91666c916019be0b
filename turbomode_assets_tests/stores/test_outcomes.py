import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.tables import LABELS, PREDICTIONS, lake_tables
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake
from turbomode_assets.stores.outcomes import KNOWN_OUTCOMES, known_outcomes
from turbomode_assets_tests.builders import make_rows

FIRST = dt.date(2016, 1, 4)


def on(number):
    return offset_session(FIRST, number)


def span(first, last):
    return SessionSpan(on(first), on(last))


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "default", lake_tables(["f"]))


def say(lake, *signals):
    """Store signals: symbol and number of the session."""
    rows = [{"symbol": symbol, "session": on(number)} for symbol, number in signals]
    said = {"p_hold": 0.1, "p_buy": 0.7, "model_version": "m"}
    frame = make_rows(PREDICTIONS, *rows, **said).sort("symbol", "session")
    lake.replace("predictions", frame, span=span(0, 20), caller="test")


def label(lake, *resolved):
    """Store labels: symbol, numbers of the decision and of the session it was known on, label."""
    rows = [
        {
            "symbol": symbol,
            "session": on(known),
            "decision_session": on(decided),
            "entry_session": on(decided + 1),
            "exit_session": on(known),
            "label": value,
        }
        for symbol, decided, known, value in resolved
    ]
    frame = make_rows(LABELS, *rows).sort("symbol", "decision_session")
    return lake.replace("labels", frame, span=span(0, 40), caller="test").version


def test_signals_meet_the_labels_of_their_decision(lake):
    say(lake, ("A", 1), ("B", 1), ("A", 2), ("C", 3))
    label(lake, ("A", 1, 6, 2), ("A", 2, 4, 0), ("B", 1, 3, 1), ("B", 2, 4, 1))
    found = known_outcomes(lake, span(0, 20), caller="test")
    assert found.schema == KNOWN_OUTCOMES
    assert found.select("symbol", "decision_session", "session", "label").rows() == [
        ("A", on(1), on(6), 2),
        ("A", on(2), on(4), 0),
        ("B", on(1), on(3), 1),
    ]
    assert found.select("p_sell", "p_hold", "p_buy", "model_version").unique().rows() == [
        (0.2, 0.1, 0.7, "m")
    ]


def test_only_signals_of_the_span_that_resolved_within_it_are_known(lake):
    say(lake, ("A", 1), ("A", 2), ("A", 3))
    label(lake, ("A", 1, 6, 2), ("A", 2, 7, 0), ("A", 3, 8, 0))
    found = known_outcomes(lake, span(2, 7), caller="test")
    assert found.get_column("decision_session").to_list() == [on(2)]


def test_labels_may_be_those_of_an_earlier_version(lake):
    say(lake, ("A", 1))
    earlier = label(lake, ("A", 1, 6, 2))
    label(lake, ("A", 1, 6, 0))
    assert known_outcomes(lake, span(0, 20), caller="t").get_column("label").to_list() == [0]
    pinned = known_outcomes(lake, span(0, 20), caller="t", labels_version=earlier)
    assert pinned.get_column("label").to_list() == [2]


def test_what_was_said_without_going_out_counts_beside_the_signals(lake):
    label(lake, ("A", 1, 6, 2), ("A", 2, 7, 0))
    others = pl.DataFrame(
        {
            "symbol": "A",
            "decision_session": [on(2), on(1), on(1), on(3)],
            "p_sell": 0.5,
            "p_hold": 0.25,
            "p_buy": 0.25,
            "model_version": ["m", "m", "another", "m"],
        }
    )
    found = known_outcomes(lake, span(0, 20), caller="test", others=others)
    facts = ["decision_session", "model_version", "label", "p_buy"]
    alone = [(on(1), "another", 2, 0.25), (on(1), "m", 2, 0.25), (on(2), "m", 0, 0.25)]
    assert found.select(facts).rows() == alone
    say(lake, ("A", 1))
    found = known_outcomes(lake, span(0, 20), caller="test", others=others)
    assert found.select(facts).rows() == [alone[0], (on(1), "m", 2, 0.7), alone[2]]


def test_nothing_is_known_before_the_first_signal(lake):
    found = known_outcomes(lake, span(0, 20), caller="test")
    assert found.is_empty()
    assert found.schema == KNOWN_OUTCOMES


def test_signals_without_any_labels_are_refused(lake):
    say(lake, ("A", 1))
    with pytest.raises(MissingDataError, match="labels"):
        known_outcomes(lake, span(0, 20), caller="test")
