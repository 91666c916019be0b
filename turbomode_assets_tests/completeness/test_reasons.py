import re

from turbomode_assets.completeness.judgement import NOTICED
from turbomode_assets.completeness.reasons import (
    ACTION_VERDICTS,
    FETCHABLE,
    REASONS,
    VERDICT_RANKS,
)
from turbomode_assets.contracts.findings import ACTIONS
from turbomode_assets.contracts.tables import QUALITY_KINDS, VERDICTS


def test_every_code_is_one_word_with_a_verdict_and_a_meaning():
    for code, reason in REASONS.items():
        assert re.fullmatch(r"[a-z_]+", code)
        assert reason.verdict in VERDICTS
        assert len(reason.meaning) > 20, code


def test_verdicts_and_actions_are_those_of_the_contracts():
    assert tuple(sorted(VERDICT_RANKS, key=VERDICT_RANKS.__getitem__)) == VERDICTS
    assert set(ACTION_VERDICTS) == set(ACTIONS)
    assert set(NOTICED) <= set(QUALITY_KINDS)


def test_no_fetch_is_asked_for_where_the_verdict_is_green_or_nothing_is_there():
    assert not {"no_data", "halted", "no_session", "not_yet_due"} & set(FETCHABLE)
    assert all(REASONS[code].verdict != "GREEN" for code in FETCHABLE)
