import datetime as dt
import itertools
import subprocess
import sys

import polars as pl
import pytest

from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.signals import rank_signals, release_signals
from turbomode_assets.signals.release import in_challenger_share
from turbomode_assets_tests.builders import make_rows

FRIDAY, MONDAY = dt.date(2017, 11, 10), dt.date(2017, 11, 13)
SYMBOLS = ["AAA", "BBB", "CCC", "DDD"]
EFFECTS: dict[str, object] = {"model_promotion_gate.ab_share": 0.5}


def said_by(model, symbols=SYMBOLS, sessions=(FRIDAY,)):
    rows = [{"symbol": symbol, "session": session} for symbol in symbols for session in sessions]
    return make_rows(PREDICTIONS, *rows, model_version=model)


def senders(release):
    return dict(release.sent.select("symbol", "model_version").iter_rows())


def test_without_a_challenger_all_goes_out_as_the_champion_said_it():
    release = release_signals(said_by("m1"))
    assert release.sent.equals(said_by("m1"))
    assert release.shadow.height == 0
    assert release.said["role"].unique().to_list() == ["champion"]


def test_a_challenger_in_shadow_says_all_and_sends_nothing():
    release = release_signals(said_by("m1"), [(said_by("m2"), 0.0)])
    assert release.sent.equals(said_by("m1"))
    assert release.shadow.equals(said_by("m2"))
    assert release.said.group_by("model_version", "role").len().sort("role").rows() == [
        ("m2", "challenger", 4),
        ("m1", "champion", 4),
    ]


@pytest.mark.parametrize("key", EFFECTS)
def test_each_key_of_the_gate_that_acts_here_changes_what_goes_out(key):
    shadow = release_signals(said_by("m1"), [(said_by("m2"), 0.0)])
    shared = release_signals(said_by("m1"), [(said_by("m2"), EFFECTS[key])])
    assert set(senders(shadow).values()) == {"m1"}
    assert senders(shared) == {"AAA": "m1", "BBB": "m1", "CCC": "m1", "DDD": "m2"}
    assert shared.said.equals(shadow.said)


def test_a_share_of_one_sends_all_of_the_challenger():
    release = release_signals(said_by("m1"), [(said_by("m2"), 1.0)])
    assert release.sent.equals(said_by("m2"))


def test_a_symbol_that_the_challenger_is_silent_on_goes_out_with_the_champions_row():
    release = release_signals(said_by("m1"), [(said_by("m2", ["CCC"]), 1.0)])
    assert senders(release) == {"AAA": "m1", "BBB": "m1", "CCC": "m2", "DDD": "m1"}


def test_each_challenger_shares_its_own_sessions_only():
    both = (FRIDAY, MONDAY)
    release = release_signals(
        said_by("m1", sessions=both),
        [(said_by("m2", sessions=[FRIDAY]), 1.0), (said_by("m3", sessions=[MONDAY]), 0.0)],
    )
    sent = release.sent.select("session", "model_version").unique().sort("session")
    assert sent.rows() == [(FRIDAY, "m2"), (MONDAY, "m1")]
    assert release.shadow["model_version"].to_list() == ["m2"] * 4 + ["m3"] * 4


# Their SHA-256 begin with cb, dc, 8c and 4c: only the last is below one half, which is 80.
def test_the_shared_symbols_are_the_same_in_every_process_and_session():
    code = (
        "from turbomode_assets.signals.release import in_challenger_share as shared;"
        f"print([shared(symbol, 0.5) for symbol in {SYMBOLS}])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "[False, False, False, True]"
    assert [in_challenger_share(symbol, 0.5) for symbol in SYMBOLS] == [False, False, False, True]


def test_the_share_is_close_to_what_was_asked_and_a_larger_one_only_adds_symbols():
    symbols = [f"S{number}" for number in range(4000)]
    shares = [0.0, 0.1, 0.25, 0.5, 1.0]
    chosen = [{s for s in symbols if in_challenger_share(s, share)} for share in shares]
    assert [len(each) / 4000 for each in chosen] == pytest.approx(shares, abs=0.02)
    assert all(fewer <= more for fewer, more in itertools.pairwise(chosen))


def sure(rows, confidences, signals=None):
    """Rows with another confidence, and other signals, for each symbol."""
    kinds = signals or ["BUY"] * len(confidences)
    return rows.with_columns(confidence=pl.Series(confidences), signal=pl.Series(kinds))


def ranks(rows):
    return dict(rows.select("symbol", "rank").iter_rows())


def test_buys_and_sells_are_ranked_together_and_holds_are_not():
    kinds = ["BUY", "SELL", "HOLD", "BUY"]
    ranked = rank_signals(release_signals(sure(said_by("m1"), [0.5, 0.9, 0.99, 0.7], kinds)))
    assert ranks(ranked.sent) == {"AAA": 3, "BBB": 1, "CCC": None, "DDD": 2}
    assert ranks(ranked.said) == ranks(ranked.sent)
    assert ranked.sent.schema["rank"] == pl.Int32


def test_the_equally_sure_are_ranked_by_symbol_and_each_session_by_itself():
    rows = said_by("m1", sessions=(MONDAY, FRIDAY))
    ranked = rank_signals(release_signals(sure(rows, [0.6] * 8)))
    for session in (FRIDAY, MONDAY):
        of_session = ranked.sent.filter(session=session)
        assert ranks(of_session) == {"AAA": 1, "BBB": 2, "CCC": 3, "DDD": 4}


def test_what_did_not_go_out_has_no_rank():
    champion, challenger = sure(said_by("m1"), [0.6] * 4), sure(said_by("m2"), [0.9] * 4)
    ab_share = 0.5
    ranked = rank_signals(release_signals(champion, [(challenger, ab_share)]))
    shared = {name for name in SYMBOLS if in_challenger_share(name, ab_share)}
    assert 0 < len(shared) < len(SYMBOLS)
    expected = [*sorted(shared), *sorted(set(SYMBOLS) - shared)]
    assert ranks(ranked.sent) == {name: place for place, name in enumerate(expected, 1)}
    for role, sent in (("champion", set(SYMBOLS) - shared), ("challenger", shared)):
        of_role = ranks(ranked.said.filter(role=role))
        assert {name for name, rank in of_role.items() if rank is not None} == sent


def test_a_session_of_holds_has_no_ranks():
    ranked = rank_signals(release_signals(sure(said_by("m1"), [0.6] * 4, ["HOLD"] * 4)))
    assert set(ranked.sent["rank"]) == {None}
