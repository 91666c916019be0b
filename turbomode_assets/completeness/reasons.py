"""Why a cell of the ledger is as it is: the codes of this room, their verdicts and meanings.

Codes that are not listed here come from curation and keep their names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GREEN, AMBER, RED = "GREEN", "AMBER", "RED"
VERDICT_RANKS: Mapping[str, int] = {GREEN: 0, AMBER: 1, RED: 2}
ACTION_VERDICTS: Mapping[str, str] = {"repaired": AMBER, "flagged": AMBER, "left_out": RED}
"""Verdict of a finding by what curation does about it."""

MISSING = "missing"
ROWS_LOW = "rows_low"
ROWS_HIGH = "rows_high"
DUPLICATE = "duplicate"
OFF_GRID = "off_grid"
OHLC_VIOLATION = "ohlc_violation"
NON_FINITE = "non_finite"
ZERO_VOLUME = "zero_volume"
STALE = "stale"
SPLIT_SIZED_JUMP = "split_sized_jump"
CHECKSUM_MISMATCH = "checksum_mismatch"
VENDOR_FAILURE = "vendor_failure"
DISAGREEMENT = "disagreement"
NO_DATA = "no_data"
NO_SESSION = "no_session"
NOT_YET_DUE = "not_yet_due"
HALTED = "halted"
REVISED = "revised"
LATE = "late"
NOT_AUDITED = "not_audited"


@dataclass(frozen=True)
class Reason:
    """What a code says of its cell, and whether fetching the cell again can change that."""

    verdict: str
    meaning: str
    can_be_fetched: bool = False


REASONS: Mapping[str, Reason] = {
    MISSING: Reason(RED, "it is due, and no candle of it is stored", can_be_fetched=True),
    ROWS_LOW: Reason(
        AMBER,
        "it is due, and has fewer sound bars than expected: any daily candle that is absent, or "
        "fewer than amber_rows_share of the intraday bars; RED below red_rows_share",
        can_be_fetched=True,
    ),
    ROWS_HIGH: Reason(AMBER, "it has more bars than its session is expected to have"),
    DUPLICATE: Reason(AMBER, "several candles of one bar are stored"),
    OFF_GRID: Reason(AMBER, "an intraday candle starts in the middle of a bar"),
    OHLC_VIOLATION: Reason(AMBER, "a high or low does not bound the other prices of its candle"),
    NON_FINITE: Reason(
        AMBER,
        "a price is missing or not finite, or a volume is not finite; such a candle counts as "
        "absent",
        can_be_fetched=True,
    ),
    ZERO_VOLUME: Reason(
        AMBER, "no trade on a day, or in all of a session's intraday bars, or no volume was told"
    ),
    STALE: Reason(AMBER, "prices repeat those before them"),
    SPLIT_SIZED_JUMP: Reason(AMBER, "a price jumps as by a split that nobody announced"),
    CHECKSUM_MISMATCH: Reason(
        RED, "a stored candle is not what its digest was made of", can_be_fetched=True
    ),
    VENDOR_FAILURE: Reason(RED, "vendors were asked for it and failed", can_be_fetched=True),
    DISAGREEMENT: Reason(AMBER, "two vendors deliver different prices"),
    NO_DATA: Reason(AMBER, "a vendor said that there is no candle"),
    NO_SESSION: Reason(
        AMBER,
        "a candle where none is expected: the market was closed or halted, or the symbol was not "
        "listed",
    ),
    NOT_YET_DUE: Reason(AMBER, "candles are absent that may still arrive in time"),
    HALTED: Reason(GREEN, "nothing is expected: trading was halted, as the configuration says"),
    REVISED: Reason(GREEN, "the vendor changed it after it was first delivered"),
    LATE: Reason(GREEN, "it arrived after it was due"),
    NOT_AUDITED: Reason(RED, "no audit has looked at it", can_be_fetched=True),
}
"""Every code of this room. `not_audited` is the gate's: the ledger has no row to hold it."""

FETCHABLE = tuple(code for code, reason in REASONS.items() if reason.can_be_fetched)
