"""The rows an ensemble may learn from, as of a session."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.learning import ErrorReplayBufferConfig
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES, DECISION_SESSION, LABEL, SESSION, SYMBOL
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.ensemble.error_replay import replay_factors
from turbomode_assets.models import Labels, Matrix, matrix_from_frame
from turbomode_assets.sessions import session_index, session_indices

ROWS = (
    SYMBOL,
    DECISION_SESSION,
    SESSION,
    LABEL,
    "exit_reason",
    "entry_session",
    "exit_session",
    "entry_price",
    "exit_price",
    "return",
)
"""What is known of a label; `session` is when it became known."""
CONDITIONS = {
    "regime": pl.String(),
    "sector": pl.String(),
    "rare": pl.Boolean(),
    "replay": pl.Float64(),
}
"""What is known of a decision: market regime, sector, rare event, factor of a replayed error."""
_ROW = "row"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled rows, sorted by (symbol, decision_session), and their features.

    `rows` is aligned with `matrix`: ROWS of the label, and CONDITIONS of its decision.
    `warm_up_rows` labels were left out because every feature of their decision was missing,
    `unexpired_rows` because they could still have been open.
    """

    matrix: Matrix
    rows: pl.DataFrame
    families: Mapping[str, str]
    as_of: dt.date
    warm_up_rows: int
    unexpired_rows: int

    @property
    def labels(self) -> Labels:
        """Class number of each row."""
        return self.rows.get_column(LABEL).cast(pl.Int8).to_numpy()

    @property
    def decision(self) -> NDArray[np.datetime64]:
        """Decision session of each row."""
        return self.rows.get_column(DECISION_SESSION).to_numpy().astype("datetime64[D]")

    @property
    def label_end(self) -> NDArray[np.datetime64]:
        """Session on which the label of each row became known."""
        return self.rows.get_column(SESSION).to_numpy().astype("datetime64[D]")

    @property
    def exit_reasons(self) -> NDArray[np.str_]:
        """Exit reason of each row."""
        return self.rows.get_column("exit_reason").to_numpy().astype(str)

    @property
    def features(self) -> pl.DataFrame:
        """Feature values of the rows, one Float32 column each."""
        return pl.DataFrame(self.matrix.values, schema=list(self.matrix.columns), orient="row")

    @property
    def digest(self) -> str:
        """SHA-256 of everything learned from: the panel, the rows and their labels."""
        content = hashlib.sha256("\n".join(self.matrix.columns).encode())
        for values in (self.matrix.panel.keys, self.matrix.panel.values, self.matrix.rows):
            content.update(np.ascontiguousarray(values).data)
        content.update(self.rows.sort(SYMBOL, DECISION_SESSION).write_csv().encode())
        return content.hexdigest()


def assemble_training_set(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    as_of: dt.date,
    config: TrainingConfig,
    families: Mapping[str, str],
) -> TrainingSet:
    """Join the tables `labels` and `features` into what may be learned as of a session.

    A label counts if it was known by `as_of`, and if its vertical barrier, `horizon_sessions`
    after its entry, had been reached by then: younger entries that are already known are a
    selected sample. Decisions reach back `ensemble.training_sessions` sessions. The columns are
    the keys of `families`, in their order. Earlier feature rows than the decisions' serve
    sequence models as look-back; later ones than `as_of` are not read.

    Raises:
        MissingDataError: too few labels, in all or in a class, or labels without a feature row.
        ContractError: `features` lacks a column, or holds another type or a key twice.
    """
    kept, unexpired = _known_and_expired(labels, as_of, config)
    _require_enough(kept, as_of, config)
    matrix, keys = matrix_from_frame(
        features.filter(pl.col(SESSION) <= as_of), list(families), families
    )
    kept = kept.join(
        keys.rename({SESSION: DECISION_SESSION}).with_row_index(_ROW),
        on=LABELS.key,
        how="left",
        validate="1:1",
    ).sort(SYMBOL, DECISION_SESSION)
    _require_features(kept)
    picked = kept.get_column(_ROW).cast(pl.Int64).to_numpy()
    present = matrix.select(picked).has_values()
    kept = kept.drop(_ROW).filter(pl.Series(present))
    _require_enough(kept, as_of, config)
    return TrainingSet(
        matrix=matrix.select(picked[present]),
        rows=kept,
        families=dict(families),
        as_of=as_of,
        warm_up_rows=int((~present).sum()),
        unexpired_rows=unexpired,
    )


def with_regimes(training_set: TrainingSet, regimes: pl.DataFrame) -> TrainingSet:
    """Name the market regime of each decision; `regimes` has session and regime."""
    named = regimes.select(pl.col(SESSION).alias(DECISION_SESSION), "regime")
    return _with(training_set, named, on=[DECISION_SESSION], validate="m:1")


def with_sectors(training_set: TrainingSet, sectors: pl.DataFrame) -> TrainingSet:
    """Name the sector of each decision; `sectors` has symbol, session and sector."""
    named = sectors.select(SYMBOL, pl.col(SESSION).alias(DECISION_SESSION), "sector")
    return _with(training_set, named, on=LABELS.key, validate="1:1")


def with_history(
    training_set: TrainingSet,
    archive: pl.DataFrame,
    buffer: pl.DataFrame,
    config: ErrorReplayBufferConfig,
) -> TrainingSet:
    """Mark decisions at rare events, and set how much more replayed errors weigh.

    `archive` holds rare events (symbol, session, ...), `buffer` confident errors.
    """
    at_events = archive.select(
        SYMBOL, pl.col(SESSION).alias(DECISION_SESSION), pl.lit(True).alias("rare")
    ).unique()
    marked = _with(training_set, at_events, on=LABELS.key, validate="1:1")
    factors = replay_factors(marked.rows, buffer, config, as_of=training_set.as_of)
    rows = marked.rows.with_columns(replay=pl.Series(factors, dtype=pl.Float64))
    return replace(marked, rows=rows)


def _with(
    training_set: TrainingSet,
    conditions: pl.DataFrame,
    *,
    on: Sequence[str],
    validate: Literal["m:1", "1:1"],
) -> TrainingSet:
    rows = training_set.rows
    (name,) = set(conditions.columns) - set(on)
    joined = rows.drop(name).join(
        conditions, on=on, how="left", validate=validate, maintain_order="left"
    )
    if name == "rare":
        joined = joined.with_columns(pl.col("rare").fill_null(value=False))
    return replace(training_set, rows=joined.select(rows.columns))


def _known_and_expired(
    labels: pl.DataFrame, as_of: dt.date, config: TrainingConfig
) -> tuple[pl.DataFrame, int]:
    """Labels that may be learned from, and how many known ones are still too young."""
    today = session_index(as_of)
    known = labels.filter(pl.col(SESSION) <= as_of)
    decided = session_indices(known.get_column(DECISION_SESSION))
    entered = session_indices(known.get_column("entry_session"))
    recent = known.with_columns(
        (entered + config.triple_barrier.horizon_sessions <= today).alias("expired")
    ).filter(decided > today - config.data_sources.training_sessions)
    kept = recent.filter("expired").select(
        *ROWS,
        regime=pl.lit(None, dtype=pl.String),
        sector=pl.lit(None, dtype=pl.String),
        rare=pl.lit(False),
        replay=pl.lit(1.0),
    )
    return kept, recent.height - kept.height


def _require_enough(kept: pl.DataFrame, as_of: dt.date, config: TrainingConfig) -> None:
    needed, rules = kept.height, config.data_sources
    found = dict.fromkeys(range(len(CLASSES)), 0) | dict(kept.group_by(LABEL).len().iter_rows())
    counts = ", ".join(f"{found[number]} {name}" for number, name in enumerate(CLASSES))
    if needed < rules.minimum_labels or min(found.values()) < rules.minimum_labels_per_class:
        raise MissingDataError(
            f"{needed} labels to learn from ({counts}); needed are {rules.minimum_labels} "
            f"in all and {rules.minimum_labels_per_class} in each class",
            where=f"training as of {as_of}, decisions of the last "
            f"{rules.training_sessions} sessions that had expired by then",
            fix="materialize labels for more sessions or symbols before it, or lower "
            "data_sources.minimum_labels and minimum_labels_per_class",
        )


def _require_features(kept: pl.DataFrame) -> None:
    homeless = kept.filter(pl.col(_ROW).is_null())
    if homeless.height:
        raise MissingDataError(
            f"labels without a feature row: {describe_rows(homeless, LABELS.key)}",
            where="features",
            fix="materialize features for those sessions, then train again",
        )
