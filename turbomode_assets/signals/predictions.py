"""Rows of the predictions table: probabilities, decision, and where they came from."""

import json
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import SignalsConfig
from turbomode_assets.contracts.columns import VENDOR
from turbomode_assets.contracts.errors import ContractError, MissingDataError
from turbomode_assets.contracts.table import check_table, describe_rows
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.signals.decision import check_probabilities, decide

_KEY = PREDICTIONS.key


def make_predictions(
    rows: pl.DataFrame,
    probabilities: NDArray[np.floating],
    config: SignalsConfig,
    *,
    model_version: str,
    feature_digest: str,
    config_digest: str,
    store_versions: Mapping[str, int],
    vendors: pl.DataFrame,
    gate_override: str | None = None,
) -> pl.DataFrame:
    """Lay out what the champion said about `rows` as the predictions table.

    `rows` names (symbol, session) and `probabilities` [rows, 3] follows its order, columns as in
    `CLASSES`. `config` holds the thresholds that the champion was trained with. `vendors`
    (symbol, session, vendor: the bars will do) says who delivered each row's bar. `gate_override`
    is the reason for which data below the GREEN threshold was used.

    Raises:
        MissingDataError: there are no rows, or a row has no bar to name a vendor.
        ContractError: counts differ, rows repeat, or a row is no probability distribution.
    """
    if rows.is_empty():
        raise MissingDataError(
            "no rows to predict",
            where="signals",
            fix="materialize features for the session first",
        )
    check_probabilities(probabilities)
    if len(probabilities) != rows.height:
        raise ContractError(
            f"{len(probabilities)} probabilities for {rows.height} rows",
            where="signals",
            fix="predict exactly the rows that are handed over, in their order",
        )
    p_sell, p_hold, p_buy = probabilities.astype(np.float64).T
    predictions = rows.select(
        *_KEY,
        decide(probabilities, config),
        pl.Series("p_sell", p_sell),
        pl.Series("p_hold", p_hold),
        pl.Series("p_buy", p_buy),
        pl.lit(model_version).alias("model_version"),
        pl.lit(feature_digest).alias("feature_digest"),
        pl.lit(config_digest).alias("config_digest"),
        pl.lit(json.dumps(dict(store_versions), sort_keys=True)).alias("store_versions"),
        pl.lit(gate_override, dtype=pl.String).alias("gate_override"),
    ).join(vendors.select(*_KEY, VENDOR), on=_KEY, how="left", validate="m:1")
    nameless = predictions.filter(pl.col(VENDOR).is_null())
    if nameless.height:
        raise MissingDataError(
            f"rows without a bar: {describe_rows(nameless, _KEY)}",
            where="vendors of the predicted rows",
            fix="materialize bars for them, or leave them out of the prediction",
        )
    return check_table(predictions, PREDICTIONS)
