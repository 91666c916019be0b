"""Which formula each stored column of features holds, session by session, and who may read it."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import MissingDataError, StoreError, first_few
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.ensemble.record import StoredFeatures, read_record
from turbomode_assets.features.formulas import ColumnFormula
from turbomode_assets.features.sets import FeatureSet, earlier_set, present_set
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, Lake, ModelMemory, PinnedRows
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.promotions import in_force

DIGITS = 8
"""How many digits of its digest name a column that holds an earlier formula."""
_KEY = BARS.key
_COMMAND = "dagster asset materialize -m turbomode_assets --select"


def present_feature_set(config: TrainingConfig) -> FeatureSet:
    """What this program computes now: its formulas, and the benchmark they refer to."""
    return present_set(config.feature_engineering.benchmark)


def model_feature_set(stored: StoredFeatures) -> FeatureSet:
    """The columns that a model reads, in order.

    Raises:
        StoreError: it carries no formulas, and its feature set is of no program that is known.
    """
    if stored.formulas is not None:
        return FeatureSet.from_json(stored.formulas)
    known = earlier_set(stored.feature_digest, stored.benchmark)
    if known is None:
        raise StoreError(
            f"its feature set {stored.feature_digest[:DIGITS]} is of no program that is known, and "
            "it carries no formulas",
            where=f"model {stored.model_version}",
            fix="use the version of turbomode_assets that trained it, or train a new model: "
            f"{_COMMAND} ensemble --partition SESSION",
        )
    by_name = {each.name: each for each in known.formulas}
    return FeatureSet(tuple(by_name[name] for name in stored.columns), stored.benchmark)


@dataclass(frozen=True)
class ModelsRead:
    """Feature sets that models in force read, and models whose set could not be found out."""

    sets: tuple[FeatureSet, ...]
    unknown: Mapping[str, str]

    def metadata(self, earlier: Sequence[str]) -> dict[str, str]:
        """What a run tells of the earlier formulas that it filled, and of models left aside."""
        told = {"earlier_formulas": first_few(earlier)} if earlier else {}
        if self.unknown:
            told["models_not_read"] = "; ".join(f"{n}: {why}" for n, why in self.unknown.items())
        return told


def read_by_models(
    memory: ModelMemory, artifacts: Artifacts, sessions: Sequence[dt.date]
) -> ModelsRead:
    """Find what champions and challengers of some sessions read; a damaged one stops nobody."""
    if not memory.exists():
        return ModelsRead((), {})
    sets, unknown = [], {}
    for version in in_force(memory, sessions).get_column("model_version").unique().sort():
        try:
            record = read_record(artifacts.model_folder(version) / ENSEMBLE)
            sets.append(model_feature_set(record.stored_features))
        except StoreError as error:
            unknown[version] = str(error)
    return ModelsRead(tuple(sets), unknown)


def column_of(name: str, digest: str, present: FeatureSet) -> str:
    """Name of the stored column that this program fills with a formula."""
    if present.columns.get(name) == digest:
        return name
    return f"{name}__{digest[:DIGITS]}"


def earlier_formulas(present: FeatureSet, read: Sequence[FeatureSet]) -> list[FeatureSet]:
    """Formulas that models read and this program no longer has, each under its column's name.

    Of every benchmark a set; a formula that cannot be computed any more is left out.
    """
    from turbomode_assets.features.evaluation import why_not_computable

    found: dict[str | None, dict[str, ColumnFormula]] = {}
    for each in read:
        for formula in each.formulas:
            digest = each.columns[formula.name]
            column = column_of(formula.name, digest, present)
            if column != formula.name and why_not_computable(formula) is None:
                renamed = dataclasses.replace(formula, name=column)
                found.setdefault(each.benchmark, {})[column] = renamed
    return [FeatureSet(tuple(each.values()), of) for of, each in found.items()]


def stored_columns(
    lake: Lake,
    span: SessionSpan | None,
    *,
    caller: str,
    benchmarks: Sequence[str | None],
    version: int | None = None,
) -> PinnedRows:
    """Session, feature and digest of every stored column whose formula is known.

    Rows of before columns had digests name their whole set, by a digest that covers the benchmark:
    it is looked for among `benchmarks`.
    """
    health = lake.read(
        "feature_health",
        caller=caller,
        span=span,
        columns=["session", "feature", "feature_digest", "column_digest"],
        version=version,
    )
    unnamed = health.rows.filter(pl.col("column_digest").is_null()).get_column("feature_digest")
    known = [
        {"feature_digest": digest, "feature": name, "earlier": column}
        for digest in unnamed.unique()
        for benchmark in dict.fromkeys(benchmarks)
        if (earlier := earlier_set(digest, benchmark)) is not None
        for name, column in earlier.columns.items()
    ]
    earlier_columns = pl.DataFrame(
        known, schema={"feature_digest": pl.String, "feature": pl.String, "earlier": pl.String}
    )
    named = health.rows.join(
        earlier_columns, on=["feature_digest", "feature"], how="left", validate="m:1"
    ).select("session", "feature", digest=pl.coalesce("column_digest", "earlier"))
    return PinnedRows(health.table, health.version, named.drop_nulls("digest"))


def select_columns(
    features: pl.DataFrame, stored: pl.DataFrame, wanted: FeatureSet, *, reader: str
) -> pl.DataFrame:
    """Symbol, session and the columns that a reader wants, each from where its formula is stored.

    In the sessions before a formula changed that is the column of its name, and from then on the
    one that carries its digest; `stored` says which holds what (`stored_columns`).

    Raises:
        MissingDataError: naming columns and sessions that hold no such formula.
        StoreError: this program cannot compute such a formula any more.
    """
    sessions = features.select("session").unique()
    found = _places(stored, sessions, wanted)
    if found.height < sessions.height * len(wanted.columns):
        raise _not_stored(sessions, found, wanted, reader)
    return features.select(*_KEY, *(_from_places(name, found) for name in wanted.columns))


def columns_of_model(
    lake: Lake, features: pl.DataFrame, model: Path, span: SessionSpan, *, caller: str
) -> pl.DataFrame:
    """Select from rows of features those of a span, in the columns of a model by its folder."""
    stored = read_record(model / ENSEMBLE).stored_features
    wanted = model_feature_set(stored)
    held = stored_columns(lake, span, caller=caller, benchmarks=[wanted.benchmark]).rows
    rows = features.filter(pl.col("session").is_between(span.first, span.last))
    return select_columns(rows, held, wanted, reader=f"model {stored.model_version}")


def select_where_whole(
    features: pl.DataFrame, stored: pl.DataFrame, wanted: FeatureSet
) -> pl.DataFrame:
    """Select the wanted columns in those sessions in which all of them are stored."""
    sessions = features.select("session").unique()
    found = _places(stored, sessions, wanted)
    whole = found.group_by("session").len().filter(pl.col("len") == len(wanted.columns))
    kept = features.join(whole, on="session", how="semi")
    return select_columns(kept, stored, wanted, reader="explain")


def _places(stored: pl.DataFrame, sessions: pl.DataFrame, wanted: FeatureSet) -> pl.DataFrame:
    """Session, name and the stored column (`feature`) that holds the formula of that name."""
    names = pl.DataFrame(
        list(wanted.columns.items()),
        schema={"name": pl.String, "digest": pl.String},
        orient="row",
    )
    by_digest = pl.col("name") + "__" + pl.col("digest").str.head(DIGITS)
    places = pl.concat(
        [names.with_columns(feature=pl.col("name")), names.with_columns(feature=by_digest)]
    )
    return (
        stored.join(sessions, on="session", how="semi")
        .join(places, on=["feature", "digest"], how="inner", validate="m:1")
        .unique(["session", "name"], keep="first", maintain_order=True)
    )


def _from_places(name: str, found: pl.DataFrame) -> pl.Expr:
    places = found.filter(pl.col("name") == name)
    columns = places.get_column("feature").unique().sort().to_list()
    value = pl.col(columns[0])
    for column in columns[1:]:
        sessions = places.filter(pl.col("feature") == column).get_column("session")
        value = pl.when(pl.col("session").is_in(sessions.implode())).then(column).otherwise(value)
    return value.alias(name)


def _not_stored(
    sessions: pl.DataFrame, found: pl.DataFrame, wanted: FeatureSet, reader: str
) -> MissingDataError | StoreError:
    # What computes formulas comes with torch: not for who only reads what is stored.
    from turbomode_assets.features.evaluation import why_not_computable

    names = pl.DataFrame({"name": list(wanted.columns)})
    missing = sessions.join(names, how="cross").join(found, on=["session", "name"], how="anti")
    days = missing.get_column("session").unique().sort()
    columns = [name for name in wanted.columns if name in set(missing.get_column("name"))]
    lost = {
        each.name: why
        for each in wanted.formulas
        if each.name in columns and (why := why_not_computable(each))
    }
    where = f"lake, tables features and feature_health, {days[0]}...{days[-1]}"
    if lost:
        return StoreError(
            f"{reader} reads columns that this program cannot compute any more: "
            + first_few(f"{name} ({why})" for name, why in lost.items()),
            where=where,
            fix="train a new model: "
            f"{_COMMAND} ensemble --partition {days[-1]}; or go back to the version that trained "
            "it",
        )
    return MissingDataError(
        f"{len(days)} sessions of features do not hold {len(columns)} columns that {reader} reads "
        f"({first_few(columns)}): {first_few(days)}",
        where=where,
        fix=f"fill them: {_COMMAND} features --partition-range {days[0]}...{days[-1]}",
    )
