"""Trade stored predictions day by day: no prediction is computed and no exit decided here."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.backtest.costs import executed_price, transaction_cost
from turbomode_assets.backtest.figures import measure, with_drawdown
from turbomode_assets.backtest.market import Floats, Integers, Market, lay_out_market
from turbomode_assets.backtest.orders import NEVER, Orders, Rules, place_orders
from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import SESSION, SYMBOL

_LEAST_SHARE = 1e-6
"""Of the equity: room below it is rounding, not room for a position."""
_SIDES = {1.0: "long", -1.0: "short"}
_FATES = (
    "traded",
    "already_held",
    "no_room",
    "no_entry_bar",
    "no_volatility",
    "no_rule",
    "pending",
)


@dataclass(frozen=True)
class BacktestResult:
    """What became of every signal, what it earned, and the equity in each session.

    `trades` has a row for each position opened: symbol, side (long, short), signal_session,
    entry_session, exit_session, entry_price and exit_price (forward-adjusted, after slippage),
    quoted_entry_price and quoted_exit_price (the same before slippage, as the label has them),
    quantity (adjusted shares, above 0), cost_usd, profit_usd (before costs), return (after costs,
    of the amount at entry), exit_reason (as the label has it: a short gains at `stop_loss`) and
    model_version. A position still open has the exit_reason `open`, no exit, and the profit at
    its last close.

    `equity` has a row for each session from the first prediction to the last bar, at its close:
    session, equity, cash, gross_exposure, net_exposure, turnover (bought and sold), all in USD,
    and drawdown, the share lost since the highest equity so far.

    `figures` is one row, as `measure` gives it; `signals` counts what became of them: fate, count.
    """

    trades: pl.DataFrame
    equity: pl.DataFrame
    figures: pl.DataFrame
    signals: pl.DataFrame


def simulate(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    bars: pl.DataFrame,
    config: BacktestConfig,
    *,
    rule: Rules,
    trials: int = 1,
    trial_sharpe_variance: float = 0.0,
) -> BacktestResult:
    """Trade every BUY (long) and SELL (short) of stored predictions, as DESIGN section 4 says.

    `predictions` and `labels` follow their tables; `bars` has symbol, session, open, high, low,
    close, forward-adjusted as for the labels, from `volatility_window_sessions` of the rule before
    the first prediction on. `rule` is the one that the labels were made by, or such a rule for each
    model version of the predictions: then the label of a decision is by its model's rule. The last
    bar's session is the present: what became known later is not read, and later rows change no
    earlier equity.

    A signal of session T enters at the next session's open (with entry="close" at T's close) and
    exits where its label does; the money is there from the session on which that is known. Without
    a known label the position is open, marked to its last close. Its size is a share of the equity
    at the close before the entry. Where limits bind, signals of one session go by the probability
    of their side, ties by symbol; the last one that fits gets what room is left. Costs of entry
    take room too: a gross exposure of 1 borrows no cash for longs. A position that exits during a
    session still holds its place at that session's open. A signal in a symbol that is held is
    passed over. Without equity nothing is opened.

    Prices contain reinvested dividends. Interest and the cost of borrowing shares are not counted;
    a bar that touches both barriers is the stop for shorts too, which favours them.

    `trials` and `trial_sharpe_variance` (per session) go to the deflated Sharpe ratio.

    Raises:
        MissingDataError: there are no predictions or bars, or a label is missing that is due.
        ContractError: columns are missing, keys are doubled, or labels do not fit the bars.
        InputError: a day is no session, or trials are below 1.
    """
    market = lay_out_market(predictions, bars, lookback_sessions=_longest_window(rule))
    orders, fates = place_orders(predictions, labels, market, rule)
    account = _Account(orders, market, config)
    account.run()
    trades = account.trades()
    equity = with_drawdown(account.equity(), config.initial_capital_usd)
    fates |= account.fates
    figures = measure(
        trades,
        equity,
        config.initial_capital_usd,
        slippage_usd=account.slippage_usd,
        trials=trials,
        trial_sharpe_variance=trial_sharpe_variance,
    )
    counts = [fates[fate] for fate in _FATES]
    signals = pl.DataFrame({"fate": _FATES, "count": pl.Series(counts, dtype=pl.Int64)})
    return BacktestResult(trades, equity, figures, signals)


def _longest_window(rule: Rules) -> int:
    rules = [rule] if isinstance(rule, TripleBarrierConfig) else list(rule.values())
    return max((each.volatility_window_sessions for each in rules), default=0)


class _Account:
    """Cash and open positions, carried from session to session."""

    def __init__(self, orders: Orders, market: Market, config: BacktestConfig) -> None:
        self._orders, self._market, self._config = orders, market, config
        slippage = config.slippage_bps
        self._entry_price = executed_price(orders.price, orders.side, slippage)
        self._exit_price = executed_price(orders.exit_price, -orders.side, slippage)
        slot = config.maximum_gross_exposure / config.maximum_positions
        shares = slot * orders.probability if config.sizing == "probability" else slot
        self._share = np.minimum(np.broadcast_to(shares, orders.side.shape), config.position_limit)
        self._quantity = np.zeros(len(orders.side))
        """Signed; 0 where an order was passed over."""
        self._cost = np.zeros(len(orders.side))
        self._open: Integers = np.empty(0, dtype=np.int64)
        self._is_held = np.zeros(len(market.symbols.categories), dtype=np.bool_)
        self._last_close = np.full(len(market.symbols.categories), np.nan)
        self._cash = config.initial_capital_usd
        self._turnover = 0.0
        self._rows: list[tuple[float, float, float, float, float]] = []
        self.fates = {"traded": 0, "already_held": 0, "no_room": 0}
        self.slippage_usd = 0.0

    def run(self) -> None:
        """Go through the sessions in order."""
        places = range(self._market.start, len(self._market.sessions))
        bounds = np.searchsorted(self._orders.entry, [*places, len(self._market.sessions)])
        for place, first, after in zip(places, bounds[:-1], bounds[1:], strict=True):
            self._turnover = 0.0
            entering = np.arange(first, after)
            at_close = self._orders.enters_at_close[first:after]
            self._enter(entering[~at_close])
            close = self._market.close[place]
            np.copyto(self._last_close, close, where=np.isfinite(close))
            self._settle(place)
            self._enter(entering[at_close])
            held = self._held_values()
            gross, net = float(np.abs(held).sum()), float(held.sum())
            self._rows.append((self._cash + net, self._cash, gross, net, self._turnover))

    def _enter(self, candidates: Integers) -> None:
        """Open what the limits allow of one session's orders, which are in their ranking."""
        if not len(candidates):
            return
        orders, config = self._orders, self._config
        free = candidates[~self._is_held[orders.symbol[candidates]]]
        held = self._held_values()
        equity = max(self._cash + float(held.sum()), 0.0)
        chosen = free[: max(config.maximum_positions - len(self._open), 0)]
        wished = self._share[chosen] * equity
        room = config.maximum_gross_exposure * equity - float(np.abs(held).sum())
        # Costs come out of the equity that the limit is a multiple of: they take room as well.
        cost_share = transaction_cost(1.0, config.cost_bps)
        room /= 1 + config.maximum_gross_exposure * cost_share
        taken = np.concatenate([[0.0], np.cumsum(wished)[:-1]])[: len(chosen)]
        amount = np.minimum(wished, room - taken)
        fits = (amount > _LEAST_SHARE * equity) & (equity > 0)
        chosen, amount = chosen[fits], amount[fits]
        self._quantity[chosen] = orders.side[chosen] * amount / self._entry_price[chosen]
        self._trade(chosen, self._quantity[chosen], self._entry_price, orders.price)
        self._open = np.concatenate([self._open, chosen])
        self._is_held[orders.symbol[chosen]] = True
        self.fates["traded"] += len(chosen)
        self.fates["already_held"] += len(candidates) - len(free)
        self.fates["no_room"] += len(free) - len(chosen)

    def _settle(self, place: int) -> None:
        """Close the positions whose exit became known in the session."""
        is_due = self._orders.settle[self._open] == place
        if not is_due.any():
            return
        due = self._open[is_due]
        self._trade(due, -self._quantity[due], self._exit_price, self._orders.exit_price)
        self._is_held[self._orders.symbol[due]] = False
        self._open = self._open[~is_due]

    def _trade(self, chosen: Integers, signed: Floats, executed: Floats, quoted: Floats) -> None:
        """Pay for signed quantities of some orders at executed prices."""
        amounts = signed * executed[chosen]
        costs = transaction_cost(amounts, self._config.cost_bps)
        self._cost[chosen] += costs
        self._cash -= float(amounts.sum()) + float(costs.sum())
        self._turnover += float(np.abs(amounts).sum())
        self.slippage_usd += float((signed * (executed[chosen] - quoted[chosen])).sum())

    def _held_values(self) -> Floats:
        """Signed values of the open positions at their last closes."""
        return self._quantity[self._open] * self._marks(self._open)

    def _marks(self, chosen: Integers) -> Floats:
        return self._last_close[self._orders.symbol[chosen]]

    def equity(self) -> pl.DataFrame:
        """A row for each session gone through."""
        names = ["equity", "cash", "gross_exposure", "net_exposure", "turnover"]
        frame = pl.DataFrame(self._rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
        sessions = self._market.sessions[self._market.start :]
        return frame.insert_column(0, pl.Series(SESSION, sessions, dtype=pl.Date))

    def trades(self) -> pl.DataFrame:
        """A row for each position opened, by the session of its signal and its symbol."""
        orders, market = self._orders, self._market
        opened = np.flatnonzero(self._quantity)
        is_open = np.isin(opened, self._open)
        entry_price, quantity = self._entry_price[opened], self._quantity[opened]
        last = np.where(is_open, self._marks(opened), self._exit_price[opened])
        profit, cost = quantity * (last - entry_price), self._cost[opened]
        calendar = pl.Series(market.sessions, dtype=pl.Date)
        categories = pl.Series(market.symbols.categories, dtype=pl.String)
        sides = [_SIDES[side] for side in orders.side[opened].tolist()]
        frame = pl.DataFrame(
            {
                SYMBOL: categories.gather(orders.symbol[opened]),
                "side": pl.Series(sides, dtype=pl.String),
                "signal_session": calendar.gather(orders.signal[opened]),
                "entry_session": calendar.gather(orders.entry[opened]),
                "exit_session": _gather_or_null(calendar, orders.exit[opened], ~is_open),
                "entry_price": entry_price,
                "exit_price": pl.Series(self._exit_price[opened]).set(pl.Series(is_open), None),
                "quantity": np.abs(quantity),
                "cost_usd": cost,
                "profit_usd": profit,
                "return": (profit - cost) / (np.abs(quantity) * entry_price),
                "quoted_entry_price": orders.price[opened],
                "quoted_exit_price": pl.Series(orders.exit_price[opened]).set(
                    pl.Series(is_open), None
                ),
                "exit_reason": orders.reason.gather(opened).set(pl.Series(is_open), "open"),
                "model_version": orders.model_version.gather(opened),
            }
        )
        return frame.sort("signal_session", SYMBOL)


def _gather_or_null(
    calendar: pl.Series, places: Integers, is_known: NDArray[np.bool_]
) -> pl.Series:
    safe = np.where(is_known & (places < NEVER), places, 0)
    return calendar.gather(safe).set(pl.Series(~is_known), None)
