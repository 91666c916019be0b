"""What goes out when two models predict: the champion's signals, for a share the challenger's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from turbomode_assets.contracts.columns import SESSION, SIGNAL_KEY, SYMBOL
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.signals.decision import HOLD

CHAMPION = "champion"
CHALLENGER = "challenger"
_KEY = PREDICTIONS.key


@dataclass(frozen=True)
class Release:
    """Predictions of a night: `sent` goes out, `shadow` is all that the challenger said.

    `said` is both models' rows with the column `role`, sent or not.
    """

    sent: pl.DataFrame
    shadow: pl.DataFrame
    said: pl.DataFrame


def in_challenger_share(symbol: str, ab_share: float) -> bool:
    """Tell whether a symbol belongs to the share that the challenger signals.

    Formula: the first 8 bytes of the symbol's SHA-256 as a fraction of 2^64 are below `ab_share`.
    The same symbols in every session and process; a larger share only adds symbols.
    """
    number = int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8])
    return number < ab_share * 2**64


def release_signals(
    champion: pl.DataFrame, challengers: Sequence[tuple[pl.DataFrame, float]] = ()
) -> Release:
    """Choose whose prediction goes out for each symbol and session.

    Every frame follows the predictions table; each challenger comes with its A/B share and has
    sessions of its own. In those, that share of the symbols goes out with its row; every other
    symbol goes out with the champion's, and so does one that the challenger says nothing about.
    """
    empty = champion.clear()
    tried = pl.concat([empty, *(_shared(rows, ab_share) for rows, ab_share in challengers)])
    shadow = pl.concat([empty, *(rows for rows, _ in challengers)])
    kept = champion.join(tried.select(_KEY), on=_KEY, how="anti")
    return Release(
        sent=pl.concat([kept, tried]).sort(_KEY),
        shadow=shadow,
        said=pl.concat(
            [
                champion.with_columns(role=pl.lit(CHAMPION)),
                shadow.with_columns(role=pl.lit(CHALLENGER)),
            ]
        ),
    )


def rank_signals(release: Release) -> Release:
    """Add `rank` to what goes out and to all that was said: 1 is the surest of its session.

    Both have `confidence`. BUY and SELL of all models that went out are ranked together, by symbol
    where they are equally sure.
    Missing: HOLD has no rank, and neither has what was said and did not go out.
    """
    positions = release.sent.filter(pl.col("signal") != HOLD)
    ordered = positions.sort(SESSION, "confidence", SYMBOL, descending=[False, True, False])
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(SESSION)
    ranks = ordered.select(*SIGNAL_KEY, rank=place)
    sent, said = (
        rows.join(ranks, on=SIGNAL_KEY, how="left", validate="1:1", maintain_order="left")
        for rows in (release.sent, release.said)
    )
    return replace(release, sent=sent, said=said)


def _shared(rows: pl.DataFrame, ab_share: float) -> pl.DataFrame:
    symbols = rows.get_column(SYMBOL).unique()
    shared = [symbol for symbol in symbols if in_challenger_share(symbol, ab_share)]
    return rows.filter(pl.col(SYMBOL).is_in(shared))
