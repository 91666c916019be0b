"""Column names shared by several tables, so that a rename is one line."""

SYMBOL = "symbol"
SESSION = "session"
YEAR = "year"

OPEN = "open"
HIGH = "high"
LOW = "low"
CLOSE = "close"
VOLUME = "volume"
DOLLAR_VOLUME = "dollar_volume"
PRICES = (OPEN, HIGH, LOW, CLOSE)

VENDOR = "vendor"
ADJUSTMENT = "adjustment"
SECTOR = "sector"

DECISION_SESSION = "decision_session"
LABEL = "label"

SIGNAL_KEY = (SESSION, SYMBOL, "model_version")
"""Key of what one model signals: in the model memory, in backtests and with their outcomes."""

CLASSES = ("SELL", "HOLD", "BUY")
"""Label classes in the order of every probability matrix: column 0 is SELL, 1 HOLD, 2 BUY."""
