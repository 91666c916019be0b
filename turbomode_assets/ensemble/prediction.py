"""The matrix to predict from: rows of the wanted sessions, with the sessions before them."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.models import Matrix, matrix_from_frame
from turbomode_assets.sessions import SessionSpan


def prediction_matrix(
    features: pl.DataFrame,
    sessions: SessionSpan,
    columns: Sequence[str],
    families: Mapping[str, str],
    *,
    look_back_sessions: int,
) -> tuple[Matrix, pl.DataFrame]:
    """Return the matrix of every (symbol, session) in `sessions`, and those keys, aligned.

    `features` must reach `look_back_sessions` sessions further back: sequence models would
    otherwise see gaps they did not see in training. Rows of which every feature is missing have
    nothing to predict from and are left out, as in training.

    Raises:
        MissingDataError: a session of the span or of its look-back has no row at all.
        ContractError: `features` lacks a column, or holds another type or a key twice.
    """
    reach = sessions.trailing(look_back_sessions)
    features = features.filter(pl.col(SESSION).is_between(reach.first, reach.last))
    found = set(features.get_column(SESSION).unique().to_list())
    absent = [session for session in reach.sessions if session not in found]
    if absent:
        raise MissingDataError(
            f"no features for {first_few(absent)}",
            where=f"features, {sessions} and the {look_back_sessions} sessions before",
            fix="materialize features for those sessions first",
        )
    matrix, keys = matrix_from_frame(features, columns, families)
    wanted = keys.select(pl.col(SESSION) >= sessions.first).to_series().to_numpy()
    rows = np.flatnonzero(wanted)
    rows = rows[matrix.select(rows).has_values()]
    return matrix.select(rows), keys[rows]
