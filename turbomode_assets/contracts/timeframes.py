"""The 17 bar lengths: which are fetched, and what every other one is derived from."""

FETCHED = ("1m", "1h", "1d")
"""Asked of vendors; everything else follows from them."""

DERIVED_FROM = {
    "2m": "1m",
    "3m": "1m",
    "5m": "1m",
    "10m": "1m",
    "15m": "1m",
    "20m": "1m",
    "30m": "1m",
    "90m": "1m",
    "2h": "1h",
    "3h": "1h",
    "4h": "1h",
    "8h": "1h",
    "1wk": "1d",
    "1mo": "1d",
}
"""Each derived timeframe and the fetched one whose bars it joins."""

TIMEFRAMES = (*FETCHED, *DERIVED_FROM)

INTRADAY_MINUTES = {
    "1m": 1,
    "2m": 2,
    "3m": 3,
    "5m": 5,
    "10m": 10,
    "15m": 15,
    "20m": 20,
    "30m": 30,
    "90m": 90,
    "1h": 60,
    "2h": 120,
    "3h": 180,
    "4h": 240,
    "8h": 480,
}
"""Minutes of a whole bar. Bars are counted from the session's open; its last one may be shorter."""
