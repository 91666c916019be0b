"""Filling the feature matrix: the program's columns, and earlier formulas that models read."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from turbomode_assets.contracts.devices import Device
from turbomode_assets.contracts.errors import ContractError, first_few
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.features import FeatureSet, feature_health
from turbomode_assets.features.engine import compute_formulas
from turbomode_assets.modelling.feature_sets import earlier_formulas, stored_columns
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake

ROUNDING = 1e-5
"""Share of a float32 value by which two computations of one formula may differ."""
_CALLER = "features"
_KEY = BARS.key


@dataclass(frozen=True)
class FeatureMatrix:
    """What a run computed of a span: values, and what each column and session was made from."""

    values: pl.DataFrame
    present: FeatureSet
    digests: Mapping[str, str]
    """Digest of each column, those of earlier formulas included."""
    bars_digests: Mapping[dt.date, str]
    """Digest of each session's adjusted bars, those of the look-back included."""

    @property
    def earlier(self) -> list[str]:
        """Columns of formulas that the program no longer has."""
        return [name for name in self.digests if name not in self.present.columns]

    @property
    def health(self) -> pl.DataFrame:
        """How each column looks across the symbols of each session."""
        return feature_health(self.values, self.present.digest, self.digests, self.bars_digests)


def compute_matrix(
    bars: pl.DataFrame,
    since: dt.date,
    present: FeatureSet,
    read: Sequence[FeatureSet],
    device: Device,
) -> FeatureMatrix:
    """Compute the columns of the program, and those that models read and it no longer has.

    `bars` are forward-adjusted, with sectors and the look-back of the longest window.
    """
    sets = [present, *earlier_formulas(present, read)]
    parts = [
        compute_formulas(bars, each.formulas, benchmark=each.benchmark, device=device, since=since)
        for each in sets
    ]
    values = pl.concat([parts[0], *(part.drop(_KEY) for part in parts[1:])], how="horizontal")
    digests = {name: digest for each in sets for name, digest in each.columns.items()}
    return FeatureMatrix(values, present, digests, digest_bars(bars))


def digest_bars(bars: pl.DataFrame) -> dict[dt.date, str]:
    """SHA-256 of the bars of each session."""
    return {
        session: hashlib.sha256(rows.write_csv(float_precision=None).encode()).hexdigest()
        for (session,), rows in bars.sort("session", "symbol")
        .partition_by("session", as_dict=True, maintain_order=True)
        .items()
    }


def require_same_values(lake: Lake, span: SessionSpan, matrix: FeatureMatrix) -> None:
    """Refuse columns that come out different although neither formula nor bars have changed.

    That is looked at where sessions of the span were stored by a program with another feature set:
    a program always gives the values that it gave.

    Raises:
        ContractError: naming columns and rows.
    """
    if not lake.has_rows("feature_health", span):
        return
    sessions = sorted(matrix.bars_digests)
    health = lake.read(
        "feature_health",
        caller=_CALLER,
        span=SessionSpan(sessions[0], span.last),
        columns=["session", "feature", "feature_digest", "bars_digest"],
    ).rows
    others = health.filter(pl.col("feature_digest") != matrix.present.digest)
    comparable = _sessions_of_unchanged_bars(health, matrix, sessions)
    compared = sorted(comparable & set(others.get_column("session")) & set(span.sessions))
    stored = stored_columns(lake, span, caller=_CALLER, benchmarks=[matrix.present.benchmark]).rows
    for year in sorted({session.year for session in compared}):
        some = [session for session in compared if session.year == year]
        _compare(lake, matrix, some, stored.filter(pl.col("session").is_in(some)))


def _sessions_of_unchanged_bars(
    health: pl.DataFrame, matrix: FeatureMatrix, sessions: Sequence[dt.date]
) -> set[dt.date]:
    """Sessions of which all bars in the longest window are those that were stored with them."""
    known = dict(health.select("session", "bars_digest").unique("session").iter_rows())
    same = [known.get(session) == matrix.bars_digests[session] for session in sessions]
    longest = max(each.bars for each in matrix.present.formulas)
    return {
        session
        for at, session in enumerate(sessions)
        if all(same[max(0, at - longest + 1) : at + 1])
    }


def _compare(
    lake: Lake, matrix: FeatureMatrix, sessions: Sequence[dt.date], stored: pl.DataFrame
) -> None:
    before = lake.read("features", caller=_CALLER, span=SessionSpan(sessions[0], sessions[-1])).rows
    before = before.filter(pl.col("session").is_in(sessions))
    now = before.select(_KEY).join(matrix.values, on=_KEY, how="left", validate="1:1")
    for name, digest in matrix.digests.items():
        held = stored.filter((pl.col("feature") == name) & (pl.col("digest") == digest))
        rows = before.get_column("session").is_in(held.get_column("session").implode()).to_numpy()
        if name not in before.columns or not rows.any():
            continue
        old, new = (frame.get_column(name).to_numpy()[rows] for frame in (before, now))
        differs = ~np.isclose(old, new, rtol=ROUNDING, atol=1e-8, equal_nan=True)
        if differs.any():
            keys = before.select(_KEY).filter(rows).filter(differs)
            raise ContractError(
                f"column {name} comes out different in {len(keys)} rows, although its formula and "
                f"its bars are the same: {first_few(map(str, keys.rows()))}",
                where="features, compared with what is stored",
                fix="raise the version of the operation whose values changed, in "
                "features/vocabulary, and regenerate its golden values",
            )


def whole_since(stored: pl.DataFrame, present: FeatureSet) -> dict[str, dt.date | None]:
    """From which stored session on each column of the program holds its formula without a hole."""
    sessions = stored.get_column("session").unique().sort()
    names = pl.DataFrame(
        list(present.columns.items()),
        schema={"feature": pl.String, "digest": pl.String},
        orient="row",
    )
    held = stored.join(names, on=["feature", "digest"], how="semi").select("feature", "session")
    numbered = pl.DataFrame({"session": sessions}).with_row_index("at")
    places = held.join(numbered, on="session", how="left", validate="m:1").sort("feature", "at")
    # Counted from the end, the last stored session is 0; a hole breaks the count.
    from_end = pl.lit(len(sessions) - 1, dtype=pl.Int64) - pl.col("at").cast(pl.Int64)
    run = places.with_columns(
        rank=from_end.rank("ordinal").over("feature").cast(pl.Int64) - 1, from_end=from_end
    ).filter(pl.col("rank") == pl.col("from_end"))
    first = dict(run.group_by("feature").agg(pl.col("session").min()).iter_rows())
    return {name: first.get(name) for name in present.columns}


def feature_set_row(
    lake: Lake, span: SessionSpan, matrix: FeatureMatrix
) -> tuple[str, dict[str, dict[str, str]], dt.date]:
    """The set's digest, what is known of each column once the matrix is stored, and the last day.

    Of a column that is its digest and from which session on it is whole.
    """
    stored = pl.DataFrame(schema={"session": pl.Date, "feature": pl.String, "digest": pl.String})
    if lake.exists("feature_health"):
        of = [matrix.present.benchmark]
        stored = stored_columns(lake, None, caller=_CALLER, benchmarks=of).rows.filter(
            ~pl.col("session").is_between(span.first, span.last)
        )
    filled = matrix.values.select(pl.col("session").unique().sort())
    columns = pl.DataFrame(
        list(matrix.present.columns.items()),
        schema={"feature": pl.String, "digest": pl.String},
        orient="row",
    )
    known = pl.concat([stored, filled.join(columns, how="cross")])
    since = whole_since(known, matrix.present)
    return (
        matrix.present.digest,
        {
            name: {"digest": digest, "whole_since": str(since[name])}
            for name, digest in matrix.present.columns.items()
        },
        span.last,
    )
