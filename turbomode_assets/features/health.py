"""How each feature looked across the symbols of each session."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.tables import FEATURE_HEALTH

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
MOSTLY_MISSING = 0.5


def feature_health(
    matrix: pl.DataFrame,
    feature_digest: str,
    column_digests: Mapping[str, str],
    bars_digests: Mapping[dt.date, str],
) -> pl.DataFrame:
    """Describe every feature column of `matrix` (symbol, session, features) session by session.

    The digests say what the columns hold: of the whole set, of each column's formula, and of the
    bars of each session.

    Follows the FEATURE_HEALTH contract: the share of symbols without a value, and of those with
    one mean, standard deviation (ddof 1) and quantiles (linear interpolation). A statistic that
    needs more values than there are is null. Each session is described from its own rows alone.
    """
    names = [name for name in matrix.columns if name not in ("symbol", "session")]
    described = [
        _describe(block.get_column("session")[0], block.select(names).to_numpy(), names)
        for block in matrix.sort("session", "symbol").partition_by("session")
    ]
    if not described:
        return FEATURE_HEALTH.empty()
    strings = pl.String()
    return (
        pl.concat(described)
        .with_columns(
            feature_digest=pl.lit(feature_digest),
            column_digest=pl.col("feature").replace_strict(column_digests, return_dtype=strings),
            bars_digest=pl.col("session").replace_strict(bars_digests, return_dtype=strings),
        )
        .select(FEATURE_HEALTH.column_names)
    )


def unhealthy_features(health: pl.DataFrame) -> dict[str, list[str]]:
    """Name the features that are constant, or missing for most symbols, in the last session."""
    last = health.filter(pl.col("session") == pl.col("session").max())
    missing = last.filter(pl.col("missing") > MOSTLY_MISSING)
    constant = last.filter((pl.col("std") == 0) & (pl.col("rows") > 2))
    return {
        "mostly_missing": missing.get_column("feature").to_list(),
        "constant": constant.get_column("feature").to_list(),
    }


def _describe(session: object, values: NDArray[np.float32], names: Sequence[str]) -> pl.DataFrame:
    # One sort serves the count, both moments and every quantile: NaN goes to the end.
    ordered = np.sort(np.ascontiguousarray(values.T), axis=1).astype(np.float64)
    rows = ordered.shape[1]
    counts = rows - np.isnan(ordered).sum(axis=1)
    present = np.arange(rows) < counts[:, None]
    filled = np.where(present, ordered, 0.0)
    mean = np.divide(filled.sum(axis=1), counts, where=counts > 0, out=np.full(len(names), np.nan))
    squares = np.where(present, (ordered - mean[:, None]) ** 2, 0.0).sum(axis=1)
    std = np.sqrt(np.divide(squares, counts - 1, where=counts > 1, out=np.full(len(names), np.nan)))
    quantiles = {name: _interpolate(ordered, counts, share) for name, share in QUANTILES.items()}
    return pl.DataFrame(
        {
            "session": [session] * len(names),
            "feature": names,
            "rows": np.full(len(names), rows, dtype=np.int64),
            "missing": (rows - counts) / rows,
            "mean": mean,
            "std": std,
            **quantiles,
        }
    ).with_columns(pl.col("mean", "std", *QUANTILES).fill_nan(None))


def _interpolate(
    ordered: NDArray[np.float64], counts: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    position = share * np.maximum(counts - 1, 0)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    each = np.arange(len(ordered))
    low, high = ordered[each, below], ordered[each, above]
    return low + (high - low) * (position - below)
