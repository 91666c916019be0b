"""Why curation changed a value, left a candle out or flagged it: every code there is."""

OFF_SESSION = "off_session"
BEFORE_CLOSE = "before_close"
MISSING_PRICE = "missing_price"
NON_POSITIVE_PRICE = "non_positive_price"
IRRECONCILABLE_PRICES = "irreconcilable_prices"
DUPLICATE_CANDLE = "duplicate_candle"
NO_SESSION_CANDLE = "no_session_candle"
MISSING_DAY = "missing_day"
OPEN_FAR_OUTSIDE = "open_far_outside"
HIGH_FAR_BELOW = "high_far_below"
LOW_FAR_ABOVE = "low_far_above"
CLOSE_FAR_OUTSIDE = "close_far_outside"
HIGH_WIDENED = "high_widened"
LOW_WIDENED = "low_widened"
UNIT_ERROR = "unit_error"
UNSETTLED_UNIT = "unsettled_unit"
FIELD_UNIT_ERROR = "field_unit_error"
DECIMAL_SHIFT = "decimal_shift"
ZERO_VOLUME_COPY = "zero_volume_copy"
COPIED_BAR = "copied_bar"
STALE = "stale"
HALF_FORMED = "half_formed"
SPLIT_NOT_APPLIED = "split_not_applied"
SPLIT_NOT_IN_PRICES = "split_not_in_prices"
SPLIT_PARTLY_IN_PRICES = "split_partly_in_prices"
SPLIT_MISAPPLIED = "split_misapplied"
SPLIT_SIZED_JUMP = "split_sized_jump"
UNEXPLAINED_JUMP = "unexplained_jump"

REASONS = {
    OFF_SESSION: "a candle of an XNYS symbol on a day without a session; left out",
    BEFORE_CLOSE: "the candle arrived before its day was over and cannot be whole; left out",
    MISSING_PRICE: "open, high, low or close is missing; the candle is left out",
    NON_POSITIVE_PRICE: "open, high, low or close is zero or less; the candle is left out",
    IRRECONCILABLE_PRICES: "two or more prices contradict the others by more than half, so that "
    "none can be trusted; the candle is left out",
    DUPLICATE_CANDLE: "another candle of the same day arrived later; this one is left out",
    NO_SESSION_CANDLE: "a 24/7 symbol has no candle on the session's own day, so the bar would "
    "have no close; its other candles are left out",
    MISSING_DAY: "a 24/7 symbol has no candle on this day; the bar is made of the others",
    OPEN_FAR_OUTSIDE: "open lies outside [low, high] and off the others by more than half (a "
    "dropped digit, a split applied to some fields); moved to the nearer bound",
    CLOSE_FAR_OUTSIDE: "close lies outside [low, high] and off the others by more than half; "
    "moved to the nearer bound",
    HIGH_FAR_BELOW: "high lies below the others by more than half; raised to the highest of them",
    LOW_FAR_ABOVE: "low lies above the others by more than half; lowered to the lowest of them",
    HIGH_WIDENED: "high lies a little below another price; raised to it",
    LOW_WIDENED: "low lies a little above another price; lowered to it",
    UNIT_ERROR: "every price is about 100 times the sessions before, or a hundredth, and volume "
    "did not change the other way (pence for pounds); scaled back",
    UNSETTLED_UNIT: "every price is about 100 times most sessions before, or a hundredth, but "
    "those do not agree among themselves; the candle is left out",
    FIELD_UNIT_ERROR: "one or two prices are about 100 times the sessions before, or a hundredth, "
    "and the others agree with them; scaled back",
    DECIMAL_SHIFT: "one or two prices are about 10 times the sessions before, or a tenth, and the "
    "others agree with them (a dropped digit); scaled back",
    ZERO_VOLUME_COPY: "no volume, and every price is the close before: nothing was traded; the "
    "candle is left out",
    COPIED_BAR: "every price and the volume are those of the bar before; the candle is left out",
    STALE: "close and volume are those of the bar before; flagged",
    HALF_FORMED: "all prices equal and hardly any volume in a symbol that always trades: a candle "
    "of a session's first trades; left out",
    SPLIT_NOT_APPLIED: "the candle was delivered as split-adjusted but its prices and volume are "
    "not; a later announced split explains it exactly: adjusted, or left out where volume does "
    "not say so too",
    SPLIT_NOT_IN_PRICES: "a split was announced and the prices did not move with it; the candle "
    "is left out where every price says so, else flagged",
    SPLIT_PARTLY_IN_PRICES: "one or two prices are still in the shares before an announced split "
    "and the others are not; brought into the new shares",
    SPLIT_MISAPPLIED: "prices moved by the ratio of an announced split on another day than its "
    "ex-date; flagged",
    SPLIT_SIZED_JUMP: "prices moved by a split's ratio, or as far as only splits and spin-offs "
    "take them, and none was announced; flagged, never adjusted",
    UNEXPLAINED_JUMP: "prices jumped overnight while no more money than usual was traded, and "
    "nothing was announced (a spin-off, another symbol's bar); flagged",
}

AMOUNT_ABOVE_CLOSE = "amount_above_close"
AMOUNT_UNIT_ERROR = "amount_unit_error"
IMPLAUSIBLE_AMOUNT = "implausible_amount"
REPEATED_DIVIDEND = "repeated_dividend"
DIVIDEND_NOT_IN_PRICE = "dividend_not_in_price"
DIVIDEND_TOO_SMALL = "dividend_too_small"
AMOUNT_IN_OLD_SHARES = "amount_in_old_shares"

DIVIDEND_REASONS = {
    AMOUNT_ABOVE_CLOSE: "the amount is not below the close before the ex-date; left out",
    AMOUNT_UNIT_ERROR: "the amount is 100 times the symbol's dividends before, or a hundredth, "
    "and unlike any of them; scaled back",
    IMPLAUSIBLE_AMOUNT: "the yield is beyond belief by itself, without any dividend before it, or "
    "together with the other large ones of a year; left out",
    REPEATED_DIVIDEND: "the same amount went ex a few days before; left out",
    DIVIDEND_NOT_IN_PRICE: "the price fell by far less than the amount on the ex-date; flagged",
    DIVIDEND_TOO_SMALL: "ex-date after ex-date the price falls by about 100 times the amount; "
    "flagged",
    AMOUNT_IN_OLD_SHARES: "a split has the same ex-date and the amount fits the dividends before "
    "only after it; flagged",
}

NO_ADJUSTED_CLOSE = "adjusted_close_is_no_price"
DIVIDEND_NOT_ADJUSTED = "dividend_not_adjusted"
DIVIDEND_ADJUSTED_IN_WRONG_UNIT = "dividend_adjusted_in_wrong_unit"
DIVIDEND_ADJUSTED_TWICE = "dividend_adjusted_twice"
ADJUSTMENT_DISAGREES = "adjustment_disagrees"
ADJUSTMENT_WITHOUT_EVENT = "adjustment_without_event"

ADJUSTED_CLOSE_REASONS = {
    NO_ADJUSTED_CLOSE: "the adjusted close is missing, infinite, zero or negative",
    DIVIDEND_NOT_ADJUSTED: "closes before the ex-date do not have the dividend taken off",
    DIVIDEND_ADJUSTED_IN_WRONG_UNIT: "100 times the dividend, or a hundredth, was taken off",
    DIVIDEND_ADJUSTED_TWICE: "about twice the dividend was taken off (capital gains counted again)",
    ADJUSTMENT_DISAGREES: "what was taken off on the ex-date is not the dividend",
    ADJUSTMENT_WITHOUT_EVENT: "the adjusted close steps away from the close without an event",
}
