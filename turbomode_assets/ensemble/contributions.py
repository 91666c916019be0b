"""What each feature adds to the forecasts: exact Shapley values, importance, and its drift.

Trees: path-dependent TreeSHAP. Logistic regression: linear SHAP against the row of medians. The
networks are not explained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.judging import ShapAnalysisConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.models import BaseModel, Matrix
from turbomode_assets.models.boosting import LightGbmModel
from turbomode_assets.models.lightgbm_dart import LightGbmDart
from turbomode_assets.models.lightgbm_forest import LightGbmForest
from turbomode_assets.models.lightgbm_gbdt import LightGbmGbdt
from turbomode_assets.models.lightgbm_goss import LightGbmGoss
from turbomode_assets.models.logistic import Logistic

Contributions = NDArray[np.float64]
"""What each feature adds to each class's raw score, [rows, classes, features]."""

EXPLAINED = (
    LightGbmGbdt.name,
    LightGbmDart.name,
    LightGbmGoss.name,
    LightGbmForest.name,
    Logistic.name,
)
"""The models whose contributions are exact and cheap."""

SCOPES = ("all", "class", "regime", "family")
IMPORTANCE = pl.Schema(
    {
        "scope": pl.String(),
        "group": pl.String(),
        "feature": pl.String(),
        "importance": pl.Float64(),
        "rank": pl.Int64(),
    }
)
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ImportanceDrift:
    """How alike two models rank the features that both have.

    `rank_correlation` is None where fewer than two features are shared, or one model finds all of
    them equally important; that counts as drifted.
    """

    rank_correlation: float | None
    drifted: bool
    shared_features: int
    added_features: int
    removed_features: int


def model_contributions(
    model: BaseModel, matrix: Matrix
) -> tuple[Contributions, NDArray[np.float64]]:
    """Explain one model: contributions [rows, classes, features] and base values [classes].

    Base value + contributions of a row = its raw score of the class: log-odds up to a constant that
    the classes share. Base values: of trees the expected score, of the logistic regression the
    score of a row at every median.

    Raises:
        InputError: no row, or the model is not one of EXPLAINED.
        NotFittedError: before fit or load.
        ContractError: the columns are not those learned from, in their order.
    """
    if not len(matrix):
        raise InputError(
            "there is no row to explain",
            where=f"model {model.name}",
            fix="pass at least one row",
        )
    added = _explained(model).contributions(matrix)
    return added[..., :-1], added[0, :, -1]


def feature_contributions(models: Mapping[str, BaseModel], matrix: Matrix) -> Contributions:
    """Mean over the explained ones of `models` of each model's contributions to its raw scores.

    Raises:
        InputError: no row, or none of the models is one of EXPLAINED.
    """
    names = [name for name in EXPLAINED if name in models]
    if not names or not len(matrix):
        raise InputError(
            f"nothing to explain: {len(matrix)} rows; models: {first_few(models) or 'none'}",
            where="feature contributions",
            fix=f"pass at least one row and one of {', '.join(EXPLAINED)}",
        )
    total = np.zeros((len(matrix), len(CLASSES), len(matrix.columns)))
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(matrix)))
        part = matrix.select(rows)
        for name in names:
            total[rows] += model_contributions(models[name], part)[0]
    total /= len(names)
    return total


def sample_rows(count: int, available: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Draw `count` of the available rows without replacement, ascending; all if there are fewer.

    The order in which they are given does not matter.

    Raises:
        InputError: no row is available.
    """
    rows = np.unique(available)
    if not len(rows):
        raise InputError(
            "no row is available to explain",
            where="SHAP sample",
            fix="pass the rows that the model was judged on",
        )
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, size=count, replace=False))


def importance_table(
    contributions: Contributions,
    columns: Sequence[str],
    families: Mapping[str, str],
    *,
    regimes: Sequence[str | None],
) -> pl.DataFrame:
    """Rank features overall, for each class and in each regime, and families among each other.

    Importance = mean over rows (and classes, but in scope `class`) of |contribution|; a family's
    contribution is the sum of its features', so what cancels within it does not count. `group` is
    `all`, the class, the regime or the family; `feature` is null in scope `family`. Rank 1 is the
    most important of its group (families: of all families); ties by name. Rows without a regime
    are in no regime.

    Raises:
        InputError: no row; or columns, regimes and contributions do not fit each other, or a
            column has no family.
    """
    _require_fit(contributions, columns, len(regimes))
    homeless = [name for name in columns if name not in families]
    if homeless or not len(contributions):
        raise InputError(
            f"{len(contributions)} rows; no family given for {first_few(homeless) or 'none'}",
            where="importance table",
            fix="pass at least one row, and map every feature column to its family",
        )
    size = np.abs(contributions)
    by_class = size.mean(axis=0)
    parts = [_ranked("all", "all", columns, by_class.mean(axis=0))]
    parts += [_ranked("class", name, columns, by_class[code]) for code, name in enumerate(CLASSES)]
    for regime in sorted({name for name in regimes if name is not None}):
        inside = np.array([name == regime for name in regimes])
        parts.append(_ranked("regime", regime, columns, size[inside].mean(axis=(0, 1))))
    parts.append(_ranked_families(contributions, [families[name] for name in columns]))
    return pl.concat(parts)


def importance_drift(
    now: pl.DataFrame, before: pl.DataFrame, config: ShapAnalysisConfig
) -> ImportanceDrift:
    """Compare two importance tables by the Spearman correlation of their scope `all`.

    Only features in both are compared, ties get their mean rank; those on one side are counted.
    """
    newer, older = (
        table.filter(scope="all").select("feature", "importance") for table in (now, before)
    )
    shared = newer.join(older, on="feature", validate="1:1").sort("feature")
    correlation = None
    if shared.height > 1:
        found = shared.select(pl.corr("importance", "importance_right", method="spearman")).item()
        correlation = None if found is None or np.isnan(found) else float(found)
    return ImportanceDrift(
        rank_correlation=correlation,
        drifted=correlation is None or correlation < config.minimum_rank_correlation,
        shared_features=shared.height,
        added_features=newer.height - shared.height,
        removed_features=older.height - shared.height,
    )


def top_contributions(
    contributions: Contributions, values: NDArray[np.float32], columns: Sequence[str], *, count: int
) -> pl.DataFrame:
    """List the `count` features that move each class of each row most, the largest first.

    Gives row (position), class, feature, its value (null where missing), contribution, and rank
    from 1; ties in the order of the columns.

    Raises:
        InputError: values, columns and contributions do not fit each other.
    """
    _require_fit(contributions, columns, len(values))
    rows, classes, features = contributions.shape
    kept = min(count, features)
    order = np.argsort(-np.abs(contributions), axis=2, kind="stable")[..., :kept]
    shape = rows, classes, kept
    row = np.broadcast_to(np.arange(rows)[:, None, None], shape).ravel()
    rank = np.broadcast_to(np.arange(1, kept + 1), shape).ravel()
    picked = order.ravel()
    return pl.DataFrame(
        {
            "row": row,
            "class": np.broadcast_to(np.array(CLASSES)[:, None], shape).ravel(),
            "feature": pl.Series(columns, dtype=pl.String).gather(picked),
            "value": pl.Series(values[row, picked], dtype=pl.Float32).fill_nan(None),
            "contribution": np.take_along_axis(contributions, order, axis=2).ravel(),
            "rank": rank,
        },
        schema_overrides={"row": pl.Int64, "class": pl.String, "rank": pl.Int64},
    )


def _explained(model: BaseModel) -> LightGbmModel[Any] | Logistic:
    if isinstance(model, LightGbmModel | Logistic):
        return model
    raise InputError(
        f"{model.name} has no exact contributions",
        where="feature contributions",
        fix=f"explain one of {', '.join(EXPLAINED)}",
    )


def _require_fit(contributions: Contributions, columns: Sequence[str], rows: int) -> None:
    expected = rows, len(CLASSES), len(columns)
    if contributions.shape != expected:
        raise InputError(
            f"contributions are {list(contributions.shape)}, expected {list(expected)}",
            where="feature contributions, [rows, classes, features]",
            fix="pass the columns of the matrix that was explained, and one entry for each row",
        )


def _ranked(
    scope: str, group: str, features: Sequence[str], importance: NDArray[np.float64]
) -> pl.DataFrame:
    table = pl.DataFrame({"feature": list(features), "importance": importance})
    return _with_ranks(
        table.sort(["importance", "feature"], descending=[True, False]), scope, group
    )


def _ranked_families(contributions: Contributions, families: Sequence[str]) -> pl.DataFrame:
    rows = []
    for family in sorted(set(families)):
        members = [at for at, name in enumerate(families) if name == family]
        rows.append((family, float(np.abs(contributions[..., members].sum(axis=2)).mean())))
    table = pl.DataFrame(rows, schema=["group", "importance"], orient="row")
    ordered = table.sort(["importance", "group"], descending=[True, False])
    return _with_ranks(ordered, "family")


def _with_ranks(ordered: pl.DataFrame, scope: str, group: str | None = None) -> pl.DataFrame:
    """Number the rows of one ranking from 1, in the columns of IMPORTANCE."""
    return ordered.select(
        scope=pl.lit(scope),
        group=pl.lit(group) if group is not None else pl.col("group"),
        feature=pl.col("feature") if group is not None else pl.lit(None, dtype=pl.String),
        importance="importance",
        rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
    )
