"""Why curation changed a value or left a candle out: every code there is."""

OFF_SESSION = "off_session"
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

REASONS = {
    OFF_SESSION: "a candle of an XNYS symbol on a day without a session; left out",
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
}
