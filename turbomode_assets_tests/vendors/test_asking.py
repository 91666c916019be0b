import datetime as dt

from turbomode_assets.vendors import Candles, NoData, Request, VendorFailure
from turbomode_assets.vendors.asking import ask, unanswered
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets_tests.vendors.builders import WEEK, fetch_config

DATA = Candles(CANDLE_SCHEMA.to_frame())
PASSING = VendorFailure("timeout", "no answer within 60 s", True)
LASTING = VendorFailure("not_subscribed", "no market data subscription", False)
LATER = dt.datetime(2015, 3, 9, 15, 7, tzinfo=dt.UTC)
SPENT = VendorFailure("budget", "60 calls in 600 s are spent", True, LATER)
NEVER = VendorFailure("unsupported", "no such data", False)


class Scripted:
    """A vendor that gives its answers one after the other, and its last one for ever."""

    def __init__(self, name, *answers):
        self.name, self.answers, self.asked = name, list(answers), 0

    def answer(self, request):
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def put(*vendors, slept=None, **values):
    sleeps = [] if slept is None else slept
    request = Request("AAA", "XNYS", WEEK)
    return ask(vendors, request, lambda v, r: v.answer(r), fetch_config(**values), sleeps.append)


def test_data_and_facts_end_the_asking():
    for answer in (DATA, NoData("not listed yet")):
        first, second = Scripted("first", answer), Scripted("second", DATA)
        asked = put(first, second)
        assert (asked.vendor, asked.answer, asked.failures) == ("first", answer, ())
        assert second.asked == 0


def test_a_failure_that_may_pass_is_tried_again():
    first, slept = Scripted("first", PASSING, PASSING, DATA), []
    asked = put(first, slept=slept, attempts=3)
    assert (asked.vendor, asked.answer, asked.failures) == ("first", DATA, ())
    assert len(slept) == 2


def test_a_failure_that_lasts_is_not_tried_again():
    first, second = Scripted("first", LASTING), Scripted("second", DATA)
    asked = put(first, second)
    assert (asked.vendor, asked.failures) == ("second", (("first", LASTING),))
    assert first.asked == 1


def test_after_the_last_attempt_the_next_vendor_is_asked():
    first, second = Scripted("first", PASSING), Scripted("second", DATA)
    asked = put(first, second, attempts=2)
    assert (first.asked, asked.vendor, asked.failures) == (2, "second", (("first", PASSING),))


def test_a_spent_budget_hands_the_question_back_instead_of_passing_it_on():
    first, second = Scripted("first", SPENT), Scripted("second", DATA)
    asked = put(first, second)
    assert (first.asked, second.asked, asked.answer) == (1, 0, SPENT)


def test_what_a_vendor_never_offers_is_nothing_against_it():
    first, second = Scripted("first", NEVER), Scripted("second", DATA)
    assert put(first, second).failures == ()
    assert put(first).answer.kind == "unsupported"


def test_when_all_fail_the_answer_names_them_all():
    asked = put(Scripted("first", PASSING), Scripted("second", LASTING))
    assert asked.answer.kind == "all_failed"
    assert asked.answer.message == (
        "first: timeout: no answer within 60 s; second: not_subscribed: no market data subscription"
    )


def test_the_error_says_what_was_asked_and_when_to_try_again():
    error = unanswered([(f"S{n} 1d", SPENT) for n in range(7)], "candles, 2015-03-06")
    assert "S0 1d (60 calls in 600 s are spent)" in error.what
    assert "(7 in all)" in error.what
    assert "after 2015-03-09 15:07 UTC" in error.fix
