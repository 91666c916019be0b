"""The feature sets that were computed or learned from, in the table `feature_store`."""

import datetime as dt
import json
from collections.abc import Mapping

from turbomode_assets.stores.memory import ModelMemory


def record_feature_set(
    memory: ModelMemory,
    digest: str,
    columns: Mapping[str, Mapping[str, str]],
    session: dt.date,
) -> None:
    """Write what is known of the columns of a set: digest, and from which session on it is whole.

    A set that no model has learned from yet counts as used from this session on.
    """
    with memory.transaction() as connection:
        connection.execute(
            "INSERT INTO feature_store VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET columns = excluded.columns",
            [digest, json.dumps(list(columns)), session, json.dumps(columns)],
        )
