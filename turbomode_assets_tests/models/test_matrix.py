import datetime as dt
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.models import matrix_from_frame
from turbomode_assets.sessions import offset_session, session_index

FIRST = dt.date(2016, 1, 4)
RESET_PEAK = Path("/proc/self/clear_refs")


def _frame(rows: list[tuple[str, int]]) -> pl.DataFrame:
    """Rows of (symbol, session number); `a` is 100 x symbol + session, `b` its negative."""
    value = [100.0 * ord(symbol) + number for symbol, number in rows]
    return pl.DataFrame(
        {
            "symbol": [symbol for symbol, _ in rows],
            "session": [offset_session(FIRST, number) for _, number in rows],
            "a": pl.Series(value, dtype=pl.Float32),
            "b": pl.Series([-v for v in value], dtype=pl.Float32),
        }
    )


FAMILIES = {"a": "price", "b": "volume"}


def _memory_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


def test_rows_come_sorted_with_their_keys_and_values_in_the_order_of_the_columns():
    frame = _frame([("B", 0), ("A", 1), ("A", 0)])
    matrix, keys = matrix_from_frame(frame, ["b", "a"], FAMILIES)
    assert keys.rows() == [
        ("A", FIRST),
        ("A", offset_session(FIRST, 1)),
        ("B", FIRST),
    ]
    assert matrix.columns == ("b", "a")
    assert matrix.panel.families == ("volume", "price")
    assert matrix.values.tolist() == [[-6500, 6500], [-6501, 6501], [-6600, 6600]]
    assert matrix.values.dtype == np.float32
    assert matrix.select(np.array([2, 0])).values[:, 1].tolist() == [6600, 6500]
    assert len(matrix.select(np.array([False, True, False]))) == 1


def test_look_back_counts_sessions_and_never_crosses_symbols():
    # A has no bar in session 2; B begins at session 2.
    frame = _frame([("A", 0), ("A", 1), ("A", 3), ("B", 2), ("B", 3)])
    matrix, _ = matrix_from_frame(frame, ["a"], FAMILIES)
    assert matrix.positions(3).tolist() == [
        [-1, -1, 0],
        [-1, 0, 1],
        [1, -1, 2],
        [-1, -1, 3],
        [-1, 3, 4],
    ]
    assert matrix.select(np.array([2])).positions(2).tolist() == [[-1, 2]]


@given(
    st.sets(st.tuples(st.sampled_from("ABC"), st.integers(0, 12)), min_size=1), st.integers(1, 6)
)
@settings(max_examples=60)
def test_every_step_is_the_same_symbol_that_many_sessions_earlier(rows, steps):
    matrix, keys = matrix_from_frame(_frame(list(rows)), ["a"], FAMILIES)
    known = {
        (symbol, session_index(session)): at for at, (symbol, session) in enumerate(keys.rows())
    }
    for at, (symbol, session) in enumerate(keys.rows()):
        expected = [
            known.get((symbol, session_index(session) - back), -1) for back in range(steps)[::-1]
        ]
        assert matrix.positions(steps)[at].tolist() == expected


def test_values_are_the_frames_to_the_bit_however_its_rows_lie():
    random = np.random.default_rng(0)
    # More columns than are copied together; every bit pattern, so NaN payloads and -0 too.
    bits = random.integers(0, 2**32, (60, 37), dtype=np.uint32)
    names = [f"f{at}" for at in range(37)]
    families = dict.fromkeys(names, "price")
    keys = _frame([(symbol, number) for symbol in "AB" for number in range(30)])[:, :2]
    in_order = keys.hstack(pl.DataFrame(bits.view(np.float32), schema=names, orient="row"))
    pieces = [in_order[begin : begin + 7] for begin in range(0, 60, 7)]
    shuffled = in_order[random.permutation(60)]
    for frame in (
        in_order,
        pl.concat(pieces, rechunk=False),
        in_order.sort("session", "symbol"),
        pl.concat([shuffled[:31], shuffled[31:]], rechunk=False),
    ):
        matrix, found = matrix_from_frame(frame, names, families)
        assert found.equals(keys)
        assert (matrix.panel.values.view(np.uint32) == bits).all()
        assert matrix.panel.values.flags.c_contiguous


def test_a_row_has_values_where_any_feature_is_present():
    frame = _frame([("A", 0), ("A", 1), ("B", 0)]).with_columns(
        pl.Series("a", [None, np.nan, 1], dtype=pl.Float32),
        pl.Series("b", [np.nan, np.inf, 2], dtype=pl.Float32),
    )
    matrix, _ = matrix_from_frame(frame, ["a", "b"], FAMILIES)
    assert matrix.has_values().tolist() == [False, True, True]
    assert matrix.select(np.array([2, 0])).has_values().tolist() == [True, False]


def test_rows_are_looked_through_in_blocks(monkeypatch):
    rows = [("A", number) for number in range(7)]
    frame = _frame(rows).with_columns(pl.Series("a", [0, None] * 3 + [0], dtype=pl.Float32))
    matrix, _ = matrix_from_frame(frame, ["a"], FAMILIES)
    monkeypatch.setattr("turbomode_assets.models.matrix._ROWS_AT_ONCE", 3)
    assert matrix.has_values().tolist() == [True, False, True, False, True, False, True]


@pytest.mark.skipif(
    not os.access(RESET_PEAK, os.W_OK), reason="the peak of a process is reset on Linux only"
)
def test_sorted_rows_are_copied_once():
    sessions, symbols, columns = 2500, 40, 160
    days = _frame([("A", number) for number in range(sessions)]).get_column("session")
    keys = pl.DataFrame(
        {
            "symbol": np.repeat([f"S{at:02d}" for at in range(symbols)], sessions),
            "session": pl.concat([days] * symbols),
        }
    )
    value = pl.Series(np.arange(sessions * symbols), dtype=pl.Float32)
    names = [f"f{at}" for at in range(columns)]
    frame = keys.with_columns(value.alias(name) for name in names)
    families = dict.fromkeys(names, "price")
    RESET_PEAK.write_text("5")
    before = _memory_bytes("VmRSS")
    matrix, _ = matrix_from_frame(frame, names, families)
    # A second copy of everything would make it 2; a tenth lies beside it, and the keys.
    assert _memory_bytes("VmHWM") - before < 1.6 * matrix.panel.values.nbytes


def test_a_null_is_a_missing_value():
    frame = _frame([("A", 0)]).with_columns(pl.lit(None, pl.Float32).alias("a"))
    matrix, _ = matrix_from_frame(frame, ["a"], FAMILIES)
    assert np.isnan(matrix.values).all()


def test_missing_columns_wrong_types_repeated_keys_and_homeless_columns_are_refused():
    frame = _frame([("A", 0), ("A", 1)])
    with pytest.raises(ContractError, match="columns missing: c"):
        matrix_from_frame(frame, ["a", "c"], FAMILIES)
    with pytest.raises(ContractError, match="no feature column"):
        matrix_from_frame(frame, [], FAMILIES)
    with pytest.raises(ContractError, match="a is Float64"):
        matrix_from_frame(frame.with_columns(pl.col("a").cast(pl.Float64)), ["a"], FAMILIES)
    with pytest.raises(ContractError, match="symbol=A session=2016-01-04"):
        matrix_from_frame(pl.concat([frame, frame.head(1)]), ["a"], FAMILIES)
    with pytest.raises(InputError, match="no family given for b"):
        matrix_from_frame(frame, ["a", "b"], {"a": "price"})
