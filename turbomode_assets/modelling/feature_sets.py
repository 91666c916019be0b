"""Which feature set the stored features belong to, and who may read them."""

import hashlib
from collections.abc import Mapping

import polars as pl

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.features import feature_set_digest
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake


def present_feature_set(config: TrainingConfig) -> str:
    """Digest of what this program computes now: the formulas, and the benchmark they refer to."""
    content = f"{feature_set_digest()} benchmark={config.feature_engineering.benchmark}"
    return hashlib.sha256(content.encode()).hexdigest()


def stored_feature_sets(
    lake: Lake, span: SessionSpan, *, caller: str, versions: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """Session and digest of the feature set of every stored session of a span.

    A session of features that nothing vouches for has the digest `none`.
    """
    pinned = versions or {}
    health = lake.read(
        "feature_health",
        caller=caller,
        span=span,
        columns=["session", "feature_digest"],
        version=pinned.get("feature_health"),
    )
    stored = lake.read(
        "features",
        caller=caller,
        span=span,
        columns=["session"],
        version=pinned.get("features"),
    )
    return (
        stored.rows.unique()
        .join(health.rows.unique(), on="session", how="left")
        .with_columns(pl.col("feature_digest").fill_null("none"))
        .sort("session")
    )


def require_feature_set(sets: pl.DataFrame, span: SessionSpan, digest: str, *, reader: str) -> None:
    """Refuse stored features of another set than the reader's anywhere in the span.

    Raises:
        MissingDataError: naming the sessions, and how to make both alike.
    """
    read = sets.filter(pl.col("session").is_between(span.first, span.last))
    other = read.filter(pl.col("feature_digest") != digest)
    if other.height:
        sessions = other.get_column("session")
        command = "dagster asset materialize -m turbomode_assets --select"
        raise MissingDataError(
            f"the features of {other.height} sessions belong to set "
            f"{other.item(0, 'feature_digest')[:8]}, not to that of {reader} ({digest[:8]}): "
            f"{first_few(sessions)}",
            where=f"lake, table features, {span}",
            fix="compute them with the present set: "
            f"{command} features --partition-range {sessions[0]}...{sessions[-1]}; "
            "if the set is newer than the champion, train one on it: "
            f"{command} ensemble --partition {span.last}",
        )
