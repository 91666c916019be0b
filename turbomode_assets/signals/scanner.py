"""Which symbols of a session may be signalled, and why the others may not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from turbomode_assets.config.training import SignalsConfig
from turbomode_assets.contracts.columns import CLOSE, DOLLAR_VOLUME, SESSION, SYMBOL
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.sessions import SessionSpan

NO_BAR = "no_bar"
NOT_GREEN = "not_green"
LOW_CLOSE = "low_close"
UNKNOWN_LIQUIDITY = "unknown_liquidity"
ILLIQUID = "illiquid"
NO_BARRIERS = "no_barriers"
NO_FEATURES = "no_features"

REASONS: Mapping[str, str] = {
    NO_BAR: "it is listed, and has no bar in the session",
    NOT_GREEN: "the ledger does not call the session's daily candle GREEN",
    LOW_CLOSE: "it closed below signals.minimum_close_usd",
    UNKNOWN_LIQUIDITY: "a session of signals.liquidity_window_sessions has no dollar volume",
    ILLIQUID: "its median dollar volume is below signals.minimum_dollar_volume_usd",
    NO_BARRIERS: "its volatility is unknown or zero, so that no barrier can be set",
    NO_FEATURES: "every feature of the session is missing",
}
"""Why a listed symbol is left out of a session, in the order in which it is asked."""

DAILY = "1d"
_KEY = BARS.key
_TRADEABLE_ROLE = "tradeable"
_GREEN = "GREEN"


@dataclass(frozen=True)
class Scan:
    """What was found of every listed symbol in each session of `span`, sorted by its key.

    `tradeable` has symbol, session, close and volatility; `left_out` symbol, session and reason,
    the first of `REASONS` that applies.
    """

    span: SessionSpan
    tradeable: pl.DataFrame
    left_out: pl.DataFrame

    def keep(self, keys: pl.DataFrame, *, reason: str) -> "Scan":
        """Leave out, for a reason, the tradeable symbols and sessions that `keys` does not name."""
        gone = self.tradeable.join(keys, on=_KEY, how="anti").select(*_KEY, reason=pl.lit(reason))
        return replace(
            self,
            tradeable=self.tradeable.join(keys, on=_KEY, how="semi"),
            left_out=pl.concat([self.left_out, gone]).sort(_KEY),
        )

    def require_every_session(self, *, reader: str, where: str) -> None:
        """Refuse a span in which some session has nothing to signal.

        Raises:
            MissingDataError: naming these sessions, and why their symbols were left out.
        """
        found = set(self.tradeable.get_column(SESSION))
        empty = [session for session in self.span.sessions if session not in found]
        if not empty:
            return
        counts = left_out_counts(self.left_out.filter(pl.col(SESSION).is_in(empty)))
        reasons = [f"{reason} {rows} ({names})" for reason, rows, names in counts.iter_rows()]
        raise MissingDataError(
            f"no symbol is tradeable for {reader} in {first_few(empty)}; left out: "
            f"{'; '.join(reasons) or 'none, for no tradeable symbol is listed'}",
            where=where,
            fix="look at these sessions in the ledger (turbomode status) and backfill them; price "
            "and liquidity are judged by the section `signals` that the model was trained with",
        )


def scan_symbols(
    universe: pl.DataFrame,
    bars: pl.DataFrame,
    volatility: pl.DataFrame,
    ledger: pl.DataFrame,
    span: SessionSpan,
    config: SignalsConfig,
    *,
    is_green_waived: bool = False,
) -> Scan:
    """Sort the listed symbols of `universe` whose role is tradeable into tradeable and left out.

    `bars` has symbol, session, close (unadjusted) and dollar_volume, and reaches
    `liquidity_window_sessions` back; `volatility` is `daily_volatility`'s; `ledger` holds rows of
    partition_status. Each session is judged by itself and those before it.

    Only the session's own candle must be GREEN, not all those that features look back on: one
    doubtful candle would otherwise keep its symbol out for a year. Features that rest on a missing
    one are missing themselves, and the GREEN gate judges the share of all of them.
    `is_green_waived` passes this over.
    """
    listed = _listed(universe, span)
    green = ledger.filter(pl.col("timeframe") == DAILY, pl.col("verdict") == _GREEN)
    facts = (
        listed.join(bars.select(*_KEY, CLOSE), on=_KEY, how="left", validate="1:1")
        .join(green.select(*_KEY, is_green=pl.lit(value=True)), on=_KEY, how="left", validate="1:1")
        .join(_median_dollar_volume(bars, span, config), on=_KEY, how="left", validate="1:1")
        .join(volatility, on=_KEY, how="left", validate="1:1")
    )
    complaints = {
        NO_BAR: pl.col(CLOSE).is_null(),
        NOT_GREEN: pl.col("is_green").is_null() & (not is_green_waived),
        LOW_CLOSE: pl.col(CLOSE) < config.minimum_close_usd,
        UNKNOWN_LIQUIDITY: pl.col("median_dollar_volume").is_null(),
        ILLIQUID: pl.col("median_dollar_volume") < config.minimum_dollar_volume_usd,
        NO_BARRIERS: pl.col("volatility").is_null(),
    }
    reasons = [pl.when(applies).then(pl.lit(reason)) for reason, applies in complaints.items()]
    judged = facts.with_columns(reason=pl.coalesce(reasons)).sort(_KEY)
    return Scan(
        span=span,
        tradeable=judged.filter(pl.col("reason").is_null()).select(*_KEY, CLOSE, "volatility"),
        left_out=judged.filter(pl.col("reason").is_not_null()).select(*_KEY, "reason"),
    )


def left_out_counts(left_out: pl.DataFrame) -> pl.DataFrame:
    """Count who was left out: reason, rows, and symbols by name, the first five and how many.

    In the order of `REASONS`; `left_out` has symbol, session and reason.
    """
    found = dict(left_out.group_by("reason").agg(SYMBOL, pl.len()).drop("len").iter_rows())
    rows = [
        (reason, len(found[reason]), first_few(sorted(set(found[reason]))))
        for reason in REASONS
        if reason in found
    ]
    schema = {"reason": pl.String, "rows": pl.Int64, "symbols": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _listed(universe: pl.DataFrame, span: SessionSpan) -> pl.DataFrame:
    """Symbol and session of everything that could trade."""
    sessions = pl.DataFrame({SESSION: span.sessions}, schema={SESSION: pl.Date})
    begun = pl.col("first_session").is_null() | (pl.col("first_session") <= pl.col(SESSION))
    lasts = pl.col("last_session").is_null() | (pl.col("last_session") >= pl.col(SESSION))
    tradeable = universe.filter(pl.col("role") == _TRADEABLE_ROLE)
    return tradeable.join(sessions, how="cross").filter(begun, lasts).select(_KEY)


def _median_dollar_volume(
    bars: pl.DataFrame, span: SessionSpan, config: SignalsConfig
) -> pl.DataFrame:
    """Median over the window, null where a session of it has no dollar volume."""
    window = config.liquidity_window_sessions
    reach = span.trailing(window - 1)
    sessions = pl.DataFrame({SESSION: reach.sessions}, schema={SESSION: pl.Date})
    known = bars.filter(pl.col(SESSION).is_between(reach.first, reach.last))
    grid = known.select(SYMBOL).unique().join(sessions, how="cross").sort(_KEY)
    filled = grid.join(
        known.select(*_KEY, DOLLAR_VOLUME),
        on=_KEY,
        how="left",
        validate="1:1",
        maintain_order="left",
    )
    median = pl.col(DOLLAR_VOLUME).rolling_median(window, min_samples=window).over(SYMBOL)
    return filled.select(*_KEY, median_dollar_volume=median).filter(pl.col(SESSION) >= span.first)
