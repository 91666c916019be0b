"""Orders: each signal with its entry and, where its label is known, its exit. No money here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.backtest.market import (
    BUY,
    SELL,
    WHERE,
    Floats,
    Integers,
    Market,
    places_of,
    require_columns,
    session_places,
)
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import (
    CLOSE,
    DECISION_SESSION,
    HIGH,
    LOW,
    OPEN,
    SESSION,
    SYMBOL,
)
from turbomode_assets.contracts.errors import ContractError, MissingDataError, first_few
from turbomode_assets.contracts.table import describe_rows

NEVER = np.iinfo(np.int64).max // 2
"""The place of a session that has not come."""
_EXPIRY = "expiry"
_TOLERANCE = 1e-6
_READ_LABELS = (
    SYMBOL,
    SESSION,
    DECISION_SESSION,
    "entry_session",
    "exit_session",
    "exit_reason",
    "entry_price",
    "exit_price",
)


@dataclass(frozen=True)
class Orders:
    """What could be traded, by (entry, falling probability, symbol); places count in the market.

    `price` and `exit_price` are before slippage. `settle` is when the exit is known, NEVER while
    it is not; `exit` is the session whose price it has.
    """

    symbol: Integers
    side: Floats
    probability: Floats
    signal: Integers
    entry: Integers
    price: Floats
    settle: Integers
    exit: Integers
    exit_price: Floats
    reason: pl.Series
    model_version: pl.Series
    enters_at_close: NDArray[np.bool_]


Rules = TripleBarrierConfig | Mapping[str, TripleBarrierConfig]
"""One rule for all, or one for each model version."""


@dataclass(frozen=True)
class _Terms:
    """What the rule of each signal's model says, in sessions."""

    lag: Integers
    """From the decision to the entry."""
    horizon: Integers
    window: Integers


def place_orders(
    predictions: pl.DataFrame, labels: pl.DataFrame, market: Market, rules: Rules
) -> tuple[Orders, dict[str, int]]:
    """Find entry and exit of every signal; count those that cannot be traded, by reason.

    A label that became known after the last bar is not read. Signals are left out that would
    enter after the last bar (pending), without a bar to enter at (no_entry_bar), those whose
    barriers have no width at the decision, so that they never have a label (no_volatility), and
    those of a model without a rule (no_rule).

    Raises:
        ContractError: columns are missing, a key is doubled, a signal's probability is missing or
            none, or labels do not fit the bars.
        MissingDataError: a signal past its vertical barrier has no label.
    """
    require_columns(labels, _READ_LABELS, "labels", may_be_empty=True)
    said = predictions.filter(pl.col("signal").is_in([SELL, BUY]))
    wanted = _with_rule(said, rules)
    due = wanted.filter(pl.col(SESSION) <= market.sessions[-1])
    signal, symbol, due = places_of(due, SESSION, market.symbols, market.sessions, "predictions")
    terms = _terms(due, rules)
    entry = signal + terms.lag
    price = np.full(len(entry), np.nan)
    has_come = entry < len(market.sessions)
    for lag, name in ((0, CLOSE), (1, OPEN)):
        there = has_come & (terms.lag == lag)
        price[there] = market.prices[name][entry[there], symbol[there]]

    row, known = _match(labels, market, signal, symbol)
    settle, exits, exit_price, reason = _exits(known, row, entry, price, symbol, market)
    is_open = row < 0
    tradeable, left_out = _sort_out(market, terms, signal, symbol, price, has_come & is_open)
    tradeable &= has_come
    expiry = entry + terms.horizon
    overdue = np.flatnonzero(is_open & tradeable & (expiry < len(market.sessions)))
    if len(overdue):
        _require_no_label_is_due(market, overdue, entry, expiry, symbol, terms.lag)
        # Entered at the last close there is: the vertical barrier ends it at that price.
        settle[overdue], exits[overdue] = expiry[overdue], entry[overdue]
        exit_price[overdue] = price[overdue]
        reason = reason.scatter(overdue, _EXPIRY)

    is_buy = (due.get_column("signal") == BUY).to_numpy()
    p_buy, p_sell = (
        due.get_column(name).cast(pl.Float64).to_numpy() for name in ("p_buy", "p_sell")
    )
    probability = np.where(is_buy, p_buy, p_sell)
    _require_probabilities(probability, due)
    order = np.lexsort((symbol, -probability, entry))
    order = order[tradeable[order]]
    orders = Orders(
        symbol=symbol[order],
        side=np.where(is_buy, 1.0, -1.0)[order],
        probability=probability[order],
        signal=signal[order],
        entry=entry[order],
        price=price[order],
        settle=settle[order],
        exit=exits[order],
        exit_price=exit_price[order],
        reason=reason.gather(order),
        model_version=_versions(due).gather(order),
        enters_at_close=(terms.lag == 0)[order],
    )
    left_out["no_rule"] = said.height - wanted.height
    left_out["pending"] = wanted.height - due.height + int((~has_come).sum())
    return orders, left_out


def _with_rule(signals: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Signals of models that have a rule."""
    if isinstance(rules, TripleBarrierConfig):
        return signals
    require_columns(signals, ("model_version",), "predictions", may_be_empty=True)
    return signals.filter(pl.col("model_version").is_in(list(rules)))


def _terms(signals: pl.DataFrame, rules: Rules) -> _Terms:
    if isinstance(rules, TripleBarrierConfig):
        numbers = np.tile(_numbers(rules), (signals.height, 1))
    else:
        versions = {name: place for place, name in enumerate(rules)}
        table = np.array([_numbers(rule) for rule in rules.values()], dtype=np.int64).reshape(-1, 3)
        places = signals.get_column("model_version").replace_strict(versions, return_dtype=pl.Int64)
        numbers = table[places.to_numpy().astype(np.int64)]
    return _Terms(*numbers.T)


def _numbers(rule: TripleBarrierConfig) -> tuple[int, int, int]:
    lag = 1 if rule.entry == "next_open" else 0
    return lag, rule.horizon_sessions, rule.volatility_window_sessions


def _sort_out(
    market: Market,
    terms: _Terms,
    signal: Integers,
    symbol: Integers,
    price: Floats,
    unlabelled: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Tell which signals have a price and barriers, as every labelled one has; count the others."""
    no_bar = unlabelled & np.isnan(price)
    no_width = unlabelled & ~no_bar
    for window in np.unique(terms.window[no_width]).tolist():
        asked = np.flatnonzero(unlabelled & ~no_bar & (terms.window == window))
        no_width[asked] = ~_has_volatility(market, signal[asked], symbol[asked], window)
    counts = {"no_entry_bar": int(no_bar.sum()), "no_volatility": int(no_width.sum())}
    return ~no_bar & ~no_width, counts


def _match(
    labels: pl.DataFrame, market: Market, signal: Integers, symbol: Integers
) -> tuple[Integers, pl.DataFrame]:
    """Row of each signal's label among the known ones, -1 without; and the known ones."""
    first, last = market.sessions[market.start], market.sessions[-1]
    known = labels.select(_READ_LABELS).filter(
        pl.col(SESSION) <= last, pl.col(DECISION_SESSION) >= first
    )
    decision, of_symbol, known = places_of(
        known, DECISION_SESSION, market.symbols, market.sessions, "labels"
    )
    rows = np.full(market.close.shape, -1, dtype=np.int64)
    rows[decision, of_symbol] = np.arange(known.height)
    return rows[signal, symbol], known


def _exits(
    known: pl.DataFrame,
    row: Integers,
    entry: Integers,
    price: Floats,
    symbol: Integers,
    market: Market,
) -> tuple[Integers, Integers, Floats, pl.Series]:
    """Settlement, exit session, exit price and reason of each signal, as its label has them."""
    has = np.flatnonzero(row >= 0)
    found = known[row[has]]
    settle, exits = (np.full(len(row), NEVER) for _ in range(2))
    exit_price = np.full(len(row), np.nan)
    reason = pl.Series("exit_reason", [None], dtype=pl.String).new_from_index(0, len(row))
    if not len(has):
        return settle, exits, exit_price, reason
    entered, left, told = (
        session_places(found.get_column(name), market.sessions)
        for name in ("entry_session", "exit_session", SESSION)
    )
    before, after = (found.get_column(name).to_numpy() for name in ("entry_price", "exit_price"))
    # Later events multiply a symbol's forward-adjusted prices by a constant: the bars' basis rules.
    exit_price[has] = after * (price[has] / before)
    settle[has], exits[has] = told, left
    within = np.clip(left, 0, len(market.sessions) - 1)
    low, high = (market.prices[name][within, symbol[has]] for name in (LOW, HIGH))
    reached = (exit_price[has] >= low * (1 - _TOLERANCE)) & (
        exit_price[has] <= high * (1 + _TOLERANCE)
    )
    fits = reached & (left == within) & (entered == entry[has])
    if not fits.all():
        strangers = found.filter(pl.Series(~fits))
        raise ContractError(
            f"labels whose entry or exit is not in the bars: "
            f"{describe_rows(strangers, [SYMBOL, DECISION_SESSION])}",
            where=WHERE,
            fix="give the forward-adjusted bars that the labels were made from, and their rule",
        )
    return settle, exits, exit_price, reason.scatter(has, found.get_column("exit_reason"))


def _has_volatility(
    market: Market, signal: Integers, symbol: Integers, window: int
) -> NDArray[np.bool_]:
    """Tell whether each window of closes is complete and moves: else there is no barrier."""
    result = signal >= window
    places, symbols = signal[result], symbol[result]
    ages = np.arange(-window, 1)[:, None]
    returns = np.diff(np.log(market.close[places + ages, symbols]), axis=0)
    result[result] = (returns != returns[:1]).any(axis=0) & np.isfinite(returns).all(axis=0)
    return result


def _require_no_label_is_due(
    market: Market,
    overdue: Integers,
    entry: Integers,
    expiry: Integers,
    symbol: Integers,
    lag: Integers,
) -> None:
    """Refuse signals that should have a label by now.

    Only an entry at the close after which no bar came has none.
    """
    missing = [
        place
        for place in overdue.tolist()
        if lag[place]
        or np.isfinite(market.close[entry[place] + 1 : expiry[place] + 1, symbol[place]]).any()
    ]
    if missing:
        decided = entry - lag
        named = [
            f"{market.symbols.categories[int(symbol[place])]} {market.sessions[decided[place]]}"
            for place in missing
        ]
        raise MissingDataError(
            f"signals without the label that is due: {first_few(named)}",
            where=f"labels given to {WHERE}",
            fix="materialize labels up to the last bar, with the rule that is given here",
        )


def _require_probabilities(probability: Floats, signals: pl.DataFrame) -> None:
    """Refuse signals whose side has no probability: they could not be ranked or sized."""
    strange = signals.filter(pl.Series(~((probability > 0) & (probability <= 1))))
    if strange.height:
        raise ContractError(
            f"signals without a probability of their side: "
            f"{describe_rows(strange, [SYMBOL, SESSION, 'signal', 'p_sell', 'p_buy'])}",
            where=f"predictions given to {WHERE}",
            fix="give p_buy of a BUY and p_sell of a SELL, above 0 and at most 1",
        )


def _versions(predictions: pl.DataFrame) -> pl.Series:
    if "model_version" in predictions.columns:
        return predictions.get_column("model_version")
    return pl.Series("model_version", [None] * predictions.height, dtype=pl.String)
