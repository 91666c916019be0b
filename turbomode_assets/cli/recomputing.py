"""What a signal's model says of it, computed again from its files and the stored features."""

import polars as pl

from turbomode_assets.cli.explaining import ModelReasons
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.ensemble import load_ensemble
from turbomode_assets.ensemble.contributions import feature_contributions, top_contributions
from turbomode_assets.features import describe_features, present_set
from turbomode_assets.modelling.feature_sets import model_feature_set
from turbomode_assets.modelling.signal_sources import SignalSources
from turbomode_assets.signals.explanation import (
    EQUAL_WITHIN,
    explained_classes,
    largest_difference,
    probability_table,
)


def recomputed(sources: SignalSources, top: int) -> ModelReasons:
    """Ask each of the nine models again, and say whether the stack gives what went out.

    Raises:
        MissingDataError: versions that it was made from are no longer stored.
        StoreError: files of the model are gone or altered.
    """
    model = load_ensemble(sources.model_files)
    matrix = sources.matrix(model.look_back_sessions)
    base = model.base_probabilities(matrix)
    stack = model.stacked(base)[0]
    difference = largest_difference(sources.probabilities, stack)
    is_equal = difference <= EQUAL_WITHIN
    added = feature_contributions(model.models, matrix)
    largest = top_contributions(added, matrix.values, model.columns, count=top)
    sides = explained_classes(sources.row["signal"])
    unknown = pl.lit("this version of turbomode_assets has no such feature")
    moved = (
        pl.concat(largest.filter(pl.col("class") == side) for side in sides)
        .join(
            describe_features().select("formula", feature="name"),
            on="feature",
            how="left",
            validate="m:1",
            maintain_order="left",
        )
        .with_columns(pl.col("formula").fill_null(unknown))
    )
    return ModelReasons(
        source="computed again from the stored features",
        probabilities=probability_table(list(model.models), base[0], stack),
        contributions=moved,
        check=f"The stack's probabilities {'equal' if is_equal else 'DIFFER from'} the stored "
        f"ones: largest difference {difference:.1e}, allowed {EQUAL_WITHIN:.0e}.",
        check_failed=not is_equal,
        warnings=_changed_formulas(sources),
    )


def _changed_formulas(sources: SignalSources) -> list[str]:
    read = model_feature_set(sources.model.stored_features)
    present = present_set(read.benchmark).columns
    changed = [name for name, digest in read.columns.items() if present.get(name) != digest]
    if not changed:
        return []
    return [
        f"The model reads {len(changed)} columns by formulas that this program no longer has: "
        f"{first_few(changed)}. What is written of these here is the present formula, if any."
    ]
