import datetime as dt

import polars as pl
import pytest

from turbomode_assets.completeness import backfill_command, measure_gate, require_green
from turbomode_assets.config.completeness import HaltConfig
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.builders import make_universe
from turbomode_assets_tests.completeness.builders import (
    RULES,
    full_candles,
    instrument,
    ledger_of,
    noticed,
)

FRIDAY, MONDAY, TUESDAY = dt.date(2024, 6, 7), dt.date(2024, 6, 10), dt.date(2024, 6, 11)
SPAN = SessionSpan(FRIDAY, TUESDAY)
TWO = make_universe(["A", "B"])
B_ON_MONDAY = (pl.col("symbol") == "B") & (pl.col("session") == MONDAY)


def gate(ledger, instruments=TWO, config=RULES):
    return measure_gate(ledger, instruments, SPAN, ["1d"], config)


def ledger_without(gone, **rest):
    return ledger_of(full_candles(TWO, SPAN, ["1d"]).filter(~gone), TWO, SPAN, **rest)


def refusal(result, threshold=1.0):
    command = backfill_command(result)
    with pytest.raises(MissingDataError) as caught:
        require_green(result, threshold, needed_by="training", command=command)
    return caught.value


def test_the_share_is_that_of_green_cells_among_the_expected_ones():
    result = gate(ledger_without(B_ON_MONDAY))
    assert (result.cells, result.green) == (6, 5)
    assert result.green_share == 5 / 6
    assert result.not_green.rows() == [("B", "1d", MONDAY, "RED", "missing")]
    require_green(result, 5 / 6, needed_by="training", command="")


def test_a_cell_that_no_audit_looked_at_is_not_green():
    ledger = ledger_without(pl.lit(False)).filter(~B_ON_MONDAY)
    assert gate(ledger).not_green.rows() == [("B", "1d", MONDAY, "RED", "not_audited")]


def test_cells_that_are_not_expected_do_not_count():
    ledger = ledger_without(pl.lit(False))
    only_a = instrument("A", first=MONDAY)
    halt = HaltConfig(symbols=["A"], first_session=MONDAY, last_session=MONDAY, reason="x")
    halted = RULES.model_copy(update={"halts": [halt]})
    assert gate(ledger, only_a).cells == 2
    assert gate(ledger, only_a, halted).cells == 1
    assert gate(ledger.clear(), instrument("A", first=dt.date(2025, 1, 2))).green_share == 1.0


def test_without_instruments_there_is_nothing_to_measure():
    with pytest.raises(MissingDataError, match="no instrument"):
        gate(ledger_without(pl.lit(False)), TWO.clear())


def test_the_refusal_names_share_reasons_cells_and_the_command():
    log = noticed("no_data", "A", TUESDAY, TUESDAY)
    gone = B_ON_MONDAY | (pl.col("session") == TUESDAY)
    error = refusal(gate(ledger_without(gone, log=log)), 0.98)
    assert error.what == (
        "3 of 6 expected cells are GREEN (50 %), 98 % are needed; by reason: missing 2, no_data 1; "
        "newest: symbol=A timeframe=1d session=2024-06-11 reasons=no_data; "
        "symbol=B timeframe=1d session=2024-06-11 reasons=missing; "
        "symbol=B timeframe=1d session=2024-06-10 reasons=missing"
    )
    assert error.where == "training, 2024-06-07...2024-06-11, table partition_status"
    assert error.fix == (
        "run `turbomode backfill --from 2024-06-10 --to 2024-06-11 --symbols B`; "
        "1 cells are not GREEN for reasons that no fetch removes"
    )


def test_of_many_cells_the_first_five_and_the_total_are_shown():
    what = refusal(gate(ledger_without(pl.lit(True)))).what
    assert what.count("symbol=") == 5
    assert what.endswith("(6 in all)")


def test_holes_that_no_fetch_fills_need_a_look_and_no_command():
    log = noticed("no_data", "B", MONDAY, MONDAY)
    assert refusal(gate(ledger_without(B_ON_MONDAY, log=log))).fix.startswith("look at these cells")


def test_a_share_just_short_of_the_threshold_is_not_rounded_up_to_it():
    names = [f"S{number:04d}" for number in range(700)]
    many = make_universe(names)
    one = (pl.col("symbol") == names[3]) & (pl.col("session") == FRIDAY)
    ledger = ledger_of(full_candles(many, SPAN, ["1d"]).filter(~one), many, SPAN)
    assert "(99.95238095 %), 99.96 %" in refusal(gate(ledger, many), 0.9996).what


def test_a_command_for_many_symbols_names_none():
    many = make_universe([f"S{number:02d}" for number in range(21)])
    result = gate(ledger_of(full_candles(many, SPAN, ["1d"]).clear(), many, SPAN), many)
    assert backfill_command(result) == "turbomode backfill --from 2024-06-07 --to 2024-06-11"
