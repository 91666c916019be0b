"""What stands behind signals, recorded when they go out, so that explaining loads no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.contracts.columns import CLASSES, SESSION, SYMBOL
from turbomode_assets.contracts.tables import CONTRIBUTIONS, MODEL_PROBABILITIES, PREDICTIONS
from turbomode_assets.ensemble.contributions import feature_contributions, top_contributions
from turbomode_assets.features import FeatureSet, describe_features, present_set
from turbomode_assets.modelling.champion_periods import PeriodPredictions
from turbomode_assets.signals.explanation import explained_classes

KEPT_FEATURES = 20
"""How many features are recorded for each side that is explained."""
_ROWS_AT_ONCE = 2_048


@dataclass(frozen=True)
class SignalReasons:
    """Rows of model_probabilities and of contributions."""

    probabilities: pl.DataFrame
    contributions: pl.DataFrame


def signal_reasons(said: Sequence[PeriodPredictions], sent: pl.DataFrame) -> SignalReasons:
    """Find what stands behind the predictions that went out, each by the model that gave it."""
    probabilities, contributions = [], []
    for each in said:
        mine = sent.filter(model_version=each.model_version).select(SYMBOL, SESSION, "signal")
        places = each.keys.with_row_index("row").join(
            mine, on=PREDICTIONS.key, maintain_order="left", validate="1:1"
        )
        probabilities.append(_probabilities(each, places))
        for start in range(0, places.height, _ROWS_AT_ONCE):
            contributions.append(_contributions(each, places[start : start + _ROWS_AT_ONCE]))
    return SignalReasons(pl.concat(probabilities), pl.concat(contributions))


def _probabilities(said: PeriodPredictions, places: pl.DataFrame) -> pl.DataFrame:
    names = list(said.period.model.models)
    columns = [f"p_{name.lower()}" for name in CLASSES]
    rows = said.base[places.get_column("row").to_numpy()].reshape(-1, len(CLASSES))
    models = pl.DataFrame({"place": range(1, len(names) + 1), "model": names})
    keys = places.select(SYMBOL, SESSION).join(models, how="cross", maintain_order="left_right")
    values = pl.DataFrame(rows, schema=columns)
    return keys.hstack(values).select(
        *(
            pl.lit(said.model_version).alias(name) if name == "model_version" else name
            for name in MODEL_PROBABILITIES.column_names
        )
    )


def _contributions(said: PeriodPredictions, places: pl.DataFrame) -> pl.DataFrame:
    model = said.period.model
    matrix = said.matrix.select(places.get_column("row").cast(pl.Int64).to_numpy())
    added = feature_contributions(model.models, matrix)
    largest = top_contributions(added, matrix.values, model.columns, count=KEPT_FEATURES)
    numbered = places.select(SYMBOL, SESSION, "signal").with_row_index("row")
    sides = pl.DataFrame(
        [
            {"signal": signal, "class": side}
            for signal in CLASSES
            for side in explained_classes(signal)
        ]
    )
    return (
        largest.join(numbered.with_columns(pl.col("row").cast(pl.Int64)), on="row", validate="m:1")
        .join(sides, on=["signal", "class"], how="semi")
        .join(_formulas(said.period.columns), on="feature", how="left", validate="m:1")
        .with_columns(model_version=pl.lit(said.model_version))
        .select(CONTRIBUTIONS.column_names)
    )


def _formulas(read: FeatureSet) -> pl.DataFrame:
    """The formula of each column that a model reads, where this program declares it still."""
    present = present_set(read.benchmark).columns
    same = [name for name, digest in read.columns.items() if present.get(name) == digest]
    declared = describe_features().select("formula", feature="name")
    return declared.filter(pl.col("feature").is_in(same))
