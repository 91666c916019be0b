"""The `ibkr` vendor: Interactive Brokers through a running IB Gateway or TWS."""

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import polars as pl

from turbomode_assets.config.vendors import IbkrConfig
from turbomode_assets.contracts.errors import ConfigurationError, InputError
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.rationing.protocol import Budget, BudgetRefusal, Call
from turbomode_assets.sessions import NEW_YORK, session_of
from turbomode_assets.vendors.ibkr.bars import ended, join_bars, read_reply
from turbomode_assets.vendors.ibkr.contracts import Instrument, wanted_of
from turbomode_assets.vendors.ibkr.errors import (
    PACING,
    AmbiguousContractError,
    DataLostError,
    GatewayError,
    LinkLostError,
    MalformedError,
    NoContractError,
    RefusedError,
    outcome,
)
from turbomode_assets.vendors.ibkr.planning import BAR_MINUTES, Piece, check_requests, plan
from turbomode_assets.vendors.ibkr.thread import ClientThread
from turbomode_assets.vendors.protocol import (
    INSTRUMENT_SCHEMA,
    Candles,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
    Request,
    VendorFailure,
)
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK

_TIMES_ASKED = 3
"""How often a question is asked that IB forgets while it is disconnected."""

_CONTRACT_ERRORS = (RefusedError, NoContractError, AmbiguousContractError, MalformedError)
"""What goes wrong about one symbol, and says nothing about the others."""


class IbkrVendor:
    """Split-adjusted trades of stocks in regular hours, and of crypto around the clock.

    Connects with the first question, read-only. Historical requests spend the budget; contract
    details, which IB's pacing rules do not count, spend nothing. Volumes stay as received.

    Raises:
        ConfigurationError: bars or durations are asked for that IB does not promise, or the client
            id 0, which TWS would also tell about orders.
    """

    name = "ibkr"
    notes = (
        "ibkr: delisted symbols have no history; bars appear when IB has made them final",
        "ibkr: volumes are in shares unless the gateway is set to send market data in lots",
        "ibkr: a daily bar of a 24/7 instrument is dated by IB and taken for that day in UTC",
    )

    def __init__(
        self,
        config: IbkrConfig,
        universe: pl.DataFrame,
        budget: Budget,
        now: Callable[[], dt.datetime],
    ) -> None:
        check_requests(config)
        if config.client_id == 0:
            raise ConfigurationError(
                "client id 0 also receives the orders of other clients",
                where="vendors.json, ibkr.client_id",
                fix="write a number from 1 on that no other program uses",
            )
        self.config = config
        self._rows = {row["symbol"]: row for row in universe.iter_rows(named=True)}
        self._budget = budget
        self._now = now
        self._client = ClientThread(config)

    def fetch_metadata(self) -> Instruments | VendorFailure:
        """Every symbol of the universe, with its name, industry and first session from IB.

        What IB does not say of a symbol is null, its name as in the universe.
        """
        rows = []
        for symbol, row in self._rows.items():
            known = {name: row.get(name) for name in INSTRUMENT_SCHEMA}
            try:
                instrument = self._resolve(symbol)
                known["name"] = instrument.long_name or row["name"]
                known["vendor_sector"] = instrument.industry or None
                known["first_session"] = self._first_session(instrument)
            except _CONTRACT_ERRORS as error:
                self._heed(error)
            except GatewayError as error:
                return VendorFailure(error.kind, error.text, error.retryable)
            rows.append(known)
        return Instruments(pl.DataFrame(rows, schema=INSTRUMENT_SCHEMA), vocabulary="IBKR")

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """One symbol's candles over a span; a bar that has not ended yet is left out."""
        wanted = self.config.requests.get(request.timeframe)  # type: ignore[call-overload]
        if wanted is None:
            message = f"no request for {request.timeframe} is configured"
            return VendorFailure("timeframe", message, False)
        if request.symbol not in self._rows:
            return VendorFailure("unknown_symbol", f"{request.symbol}: not in the universe", False)
        now = self._now()
        pieces = plan(request.span, request.calendar, wanted, now)
        if not pieces:
            return VendorFailure("not_over", f"{request.symbol}: {request.span} lies ahead", True)
        try:
            instrument = self._resolve(request.symbol)
            replies = []
            for piece in pieces:
                reply = self._fetch_piece(instrument, piece, request)
                if isinstance(reply, VendorFailure):
                    return reply
                replies.append(reply)
        except GatewayError as error:
            self._heed(error)
            return outcome(error, request.symbol)
        frames = [reply for reply in replies if isinstance(reply, pl.DataFrame)]
        if not frames:
            return next(reply for reply in replies if isinstance(reply, NoData))
        return _candles(pl.concat(frames), request, BAR_MINUTES.get(wanted.bar_size), now)

    def candle_calls(self, request: Request) -> int:
        """Historical requests that the span is cut into."""
        wanted = self.config.requests.get(request.timeframe)  # type: ignore[call-overload]
        if wanted is None:
            return 0
        return len(plan(request.span, request.calendar, wanted, self._now()))

    def fetch_corporate_actions(self, request: Request) -> CorporateActions | VendorFailure:
        """Fail: IB's historical data has no events."""
        return VendorFailure("unsupported", "IB's historical data has no events", False)

    def fetch_fundamentals(self, request: Request) -> Fundamentals | NoData | VendorFailure:
        """Fail: IB's historical data has no fundamentals."""
        return VendorFailure("unsupported", "IB's historical data has no fundamentals", False)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        self._client.close()

    def _resolve(self, symbol: str) -> Instrument:
        wanted = wanted_of(self._rows[symbol])
        return self._client.ask(lambda client: client.resolve(wanted))

    def _fetch_piece(
        self, instrument: Instrument, piece: Piece, request: Request
    ) -> pl.DataFrame | NoData | VendorFailure:
        wanted = instrument.wanted
        call = Call(
            vendor=self.name,
            identity=f"{instrument.group}|{wanted.regular_hours}|{piece.bar_size}|{piece.duration}"
            f"|{piece.end.isoformat()}",
            group=instrument.group,
        )
        for _ in range(_TIMES_ASKED):
            with self._budget.spend(call) as spent:
                if spent is not None:
                    return _spent(spent, request.symbol)
                try:
                    bars = self._client.ask(lambda client: client.bars(instrument, piece))
                except DataLostError:
                    # Asked again through the budget: for IB it is one request more.
                    continue
                except RefusedError as error:
                    answer = outcome(error, request.symbol)
                    if isinstance(answer, NoData):
                        return answer
                    raise
            if not bars:
                message = f"{request.symbol}: IB sent no bar and no reason, up to {piece.last_day}"
                return VendorFailure("empty", message, True)
            return read_reply(bars, piece, request.calendar)
        raise LinkLostError("IB forgot the question again and again")

    def _first_session(self, instrument: Instrument) -> dt.date | None:
        """Session of the first trade; null where IB does not say or the calendar does not reach."""
        call = Call(self.name, f"{instrument.group}|first trade", instrument.group)
        with self._budget.spend(call) as spent:
            if spent is not None:
                return None
            moment = self._client.ask(lambda client: client.first_trade(instrument))
        zone = ZoneInfo(NEW_YORK) if instrument.wanted.regular_hours else dt.UTC
        try:
            return session_of(moment.astimezone(zone).date())
        except InputError:
            return None

    def _heed(self, error: GatewayError) -> None:
        """Leave IB alone for a while when it said that it was asked too often."""
        answer = outcome(error, self.name)
        if isinstance(answer, VendorFailure) and answer.kind == PACING:
            self._budget.cool_off(self.name, answer.message)


def _candles(
    bars: pl.DataFrame, request: Request, minutes: int | None, now: dt.datetime
) -> Candles | VendorFailure:
    timeframe = request.timeframe
    whole = INTRADAY_MINUTES.get(timeframe)
    if whole is not None and whole != minutes:
        bars = join_bars(bars, request.calendar, whole)
    frame = ended(bars, request.calendar, timeframe, now)
    if frame.is_empty():
        kind = "not_over" if bars.height else "empty"
        message = f"{request.symbol}: no bar of {request.span} that has ended"
        return VendorFailure(kind, message, True)
    if request.calendar == ROUND_THE_CLOCK:
        return Candles(frame)
    return Candles(frame, "split", now.astimezone(ZoneInfo(NEW_YORK)).date())


def _spent(spent: BudgetRefusal, symbol: str) -> VendorFailure:
    return VendorFailure("budget", f"{symbol}: {spent.reason}", True, spent.retry_at)
