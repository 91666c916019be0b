import inspect
import pickle

import pytest

from turbomode_assets.contracts import errors
from turbomode_assets.contracts.errors import TurbomodeError, first_few

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TurbomodeError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_where_and_fix(kind):
    error = kind("3 bars are missing", where="bars, symbol=AAPL", fix="materialize raw_candles")
    assert str(error) == (
        "3 bars are missing\n  where: bars, symbol=AAPL\n  fix:   materialize raw_candles"
    )
    assert (error.what, error.where) == ("3 bars are missing", "bars, symbol=AAPL")
    assert isinstance(error, TurbomodeError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_out_of_a_worker_process(kind):
    error = kind("3 bars are missing", where="bars", fix="materialize raw_candles")
    returned = pickle.loads(pickle.dumps(error))
    assert type(returned) is kind
    assert str(returned) == str(error)
    assert (returned.what, returned.where, returned.fix) == (error.what, error.where, error.fix)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, "0"),
        (5, "0, 1, 2, 3, 4"),
        (6, "0, 1, 2, 3, 4, ... (6 in all)"),
        (400, "0, 1, 2, 3, 4, ... (400 in all)"),
    ],
)
def test_five_offenders_are_listed_and_more_are_counted(count, said):
    assert first_few(range(count)) == said


def test_offenders_may_be_any_iterable():
    assert first_few(letter for letter in "abc") == "a, b, c"
