"""What a stored signal was made from, read again at the versions that its row records."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from turbomode_assets.config.learning import RegimeLabelingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import MissingDataError, StoreError, first_few
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.curation import with_sectors
from turbomode_assets.ensemble.record import EnsembleRecord, read_record
from turbomode_assets.features.sets import FeatureSet
from turbomode_assets.labels import market_regimes
from turbomode_assets.modelling.corporate_actions import read_corporate_actions
from turbomode_assets.modelling.feature_sets import (
    model_feature_set,
    select_where_whole,
    stored_columns,
)
from turbomode_assets.models import Matrix, Probabilities, matrix_from_frame
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.promotions import in_force, promotions
from turbomode_assets.stores.reader import TableReader

SHOWN_BARS = 5
_CALLER = "explain"


def stored_signal(lake: Lake, symbol: str, session: dt.date) -> dict[str, Any]:
    """Return the row of predictions that went out for a symbol in a session.

    Raises:
        MissingDataError: there is none; names the nearest sessions that have one.
    """
    where = f"{lake.owner}, table predictions"
    if not lake.exists("predictions"):
        raise MissingDataError(
            "nothing was ever signalled", where=where, fix="run `make demo`, or materialize signals"
        )
    rows = lake.read("predictions", caller=_CALLER, symbols=[symbol]).rows
    found = rows.filter(pl.col("session") == session)
    if found.height:
        return found.row(0, named=True)
    sessions = rows.get_column("session")
    before, after = sessions.filter(sessions < session), sessions.filter(sessions > session)
    if rows.height:
        raise MissingDataError(
            f"there is no signal of {symbol} for {session}",
            where=where,
            fix=f"the nearest sessions with one: {first_few([*before.tail(1), *after.head(1)])}",
        )
    known = lake.read("predictions", caller=_CALLER, columns=["symbol"]).rows
    symbols = known.get_column("symbol").unique().sort().to_list()
    alike = get_close_matches(symbol.upper(), symbols, n=3) or symbols
    raise MissingDataError(
        f"there is no signal of {symbol}, in any session",
        where=where,
        fix=f"symbols with signals: {first_few(alike)}",
    )


@dataclass(frozen=True)
class SignalSources:
    """Everything behind one row of predictions; each table is read once, when asked for."""

    settings: Settings
    lake: Lake
    row: Mapping[str, Any]

    @classmethod
    def find(cls, settings: Settings, symbol: str, session: dt.date) -> "SignalSources":
        """Find the signal of a symbol and session; see `stored_signal` for refusals."""
        lake = Lake(settings.lake_root, settings.tenant_name, lake_tables())
        return cls(settings, lake, stored_signal(lake, symbol, session))

    @property
    def symbol(self) -> str:
        """Whose signal it is."""
        return str(self.row["symbol"])

    @property
    def session(self) -> dt.date:
        """At whose close it was given."""
        session: dt.date = self.row["session"]
        return session

    @property
    def model_version(self) -> str:
        """Which ensemble gave it."""
        return str(self.row["model_version"])

    @property
    def probabilities(self) -> Probabilities:
        """The stored probabilities, [classes]."""
        return np.array([self.row[f"p_{name.lower()}"] for name in CLASSES])

    @cached_property
    def versions(self) -> dict[str, int]:
        """Version of each table that it was made from."""
        versions: dict[str, int] = json.loads(self.row["store_versions"])
        return versions

    @cached_property
    def model_files(self) -> Path:
        """Folder of the ensemble's files.

        Raises:
            StoreError: they are gone.
        """
        artifacts = Artifacts(self.settings.artifacts_root)
        return artifacts.model_folder(self.model_version) / ENSEMBLE

    @cached_property
    def model(self) -> EnsembleRecord:
        """What was written down of the ensemble.

        Raises:
            StoreError: its files are gone, or what says so is altered.
        """
        return read_record(self.model_files)

    def recorded(self, table: str) -> pl.DataFrame:
        """Rows that a table of the lake recorded with the signal; none of before it was kept."""
        if not self.lake.exists(table):
            return pl.DataFrame(schema=self.lake.contract(table).schema)
        span = SessionSpan(self.session, self.session)
        rows = self.lake.read(table, caller=_CALLER, span=span, symbols=[self.symbol]).rows
        return rows.filter(model_version=self.model_version)

    def history(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """Features of the symbol up to the session, that one last: some columns, or the model's.

        Raises:
            MissingDataError: that version is no longer stored.
            StoreError: it does not hold the session.
        """
        version = self.versions["features"]
        rows = self._in_the_models_columns(self._features, names)
        if rows.is_empty() or rows.item(-1, "session") != self.session:
            raise StoreError(
                f"version {version} of features has no row of {self.symbol} for {self.session}, "
                "although the signal records that it was made from it",
                where=self.lake.uri("features"),
                fix="restore the table from a backup",
            )
        return rows

    @cached_property
    def _features(self) -> pl.DataFrame:
        version = self.versions["features"]
        stored = _pinned(self.lake, "features", version, symbols=[self.symbol])
        return stored.filter(pl.col("session") <= self.session)

    def _in_the_models_columns(
        self, stored: pl.DataFrame, names: Sequence[str] | None
    ) -> pl.DataFrame:
        read = self.model.columns if names is None else names
        if "feature_health" not in self.versions:
            # A signal of before columns had digests: each held the formula of its name.
            return stored.select("symbol", "session", *read)
        whole = model_feature_set(self.model.stored_features)
        kept = tuple(each for each in whole.formulas if each.name in set(read))
        wanted = FeatureSet(kept, whole.benchmark)
        version, of = self.versions["feature_health"], [wanted.benchmark]
        held = stored_columns(self.lake, None, caller=_CALLER, benchmarks=of, version=version)
        return select_where_whole(stored, held.rows, wanted)

    def matrix(self, look_back_sessions: int) -> Matrix:
        """The one row that the models predict from, with the sessions before it."""
        reach = SessionSpan(self.session, self.session).trailing(look_back_sessions)
        read = self.history().filter(pl.col("session") >= reach.first)
        matrix, _ = matrix_from_frame(read, self.model.columns, self.model.families)
        return matrix.select(np.array([len(matrix) - 1]))

    @cached_property
    def bars(self) -> pl.DataFrame:
        """The symbol's last bars up to the session, `SHOWN_BARS` of them."""
        return self._market.filter(pl.col("symbol") == self.symbol).tail(SHOWN_BARS)

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The ledger's rows of these bars, at its present version: signals record none."""
        span = SessionSpan(self.bars.item(0, "session"), self.session)
        return self._master.read(
            "partition_status", caller=_CALLER, span=span, symbols=[self.symbol]
        ).rows

    @cached_property
    def live(self) -> pl.DataFrame:
        """Champion and challenger of the session, by the log as it is now."""
        return in_force(self._memory, [self.session])

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """Every decision about the model, in order."""
        return promotions(self._memory).filter(pl.col("model_version") == self.model_version)

    @cached_property
    def remembered(self) -> Mapping[str, Any]:
        """The signal's row in model memory: its role and what is traded on it; empty without one.

        A signal of a champion from before roles were recorded has that of champion.
        """
        rows = self._memory.query(
            "SELECT * REPLACE (coalesce(role, 'champion') AS role) FROM signal_history"
            " WHERE symbol = ? AND session = ? AND model_version = ?",
            [self.symbol, self.session, self.model_version],
        )
        return rows.row(0, named=True) if rows.height else {}

    def configuration_version(self) -> str | None:
        """Version of the training configuration that the model was made with."""
        recorded = self._memory.query(
            "SELECT config_version FROM model_metadata WHERE model_version = ?",
            [self.model_version],
        )
        return str(recorded.item()) if recorded.height else None

    def regime(self) -> str | None:
        """The market's regime at the session, by the rules the model was trained with.

        From the bars of that version and the corporate actions known now.
        """
        curation = self.settings.data_quality().curation
        actions = read_corporate_actions(self._master, curation, caller=_CALLER)
        rules = self.model.rules.read(RegimeLabelingConfig)
        regimes = market_regimes(actions.adjust(self._market), rules)
        found = regimes.filter(pl.col("session") == self.session)
        return found.item(0, "regime") if found.height else None

    def sector(self) -> str | None:
        """The symbol's sector at the session."""
        version = self.versions.get("sector_mappings")
        mappings = _pinned(self._master, "sector_mappings", version)
        sector: str | None = with_sectors(self.bars, mappings).item(-1, "sector")
        return sector

    def label(self) -> dict[str, Any] | None:
        """What came true, and the digest of its rule, by the present labels; None: not known."""
        known = self.lake.stored_span("labels")
        if known is None or known.last < self.session:
            return None
        span = SessionSpan(self.session, known.last)
        labels = self.lake.read("labels", caller=_CALLER, span=span, symbols=[self.symbol]).rows
        found = labels.filter(pl.col("decision_session") == self.session)
        rules = self.lake.read("label_rules", caller=_CALLER, span=span).rows
        ruled = found.join(rules, on="session", how="left", validate="m:1", suffix="_of_rule")
        return ruled.row(0, named=True) if ruled.height else None

    def shadow(self) -> list[dict[str, Any]]:
        """What the challenger said of the symbol and session, where there was one."""
        if not self.lake.exists("shadow_predictions"):
            return []
        span = SessionSpan(self.session, self.session)
        rows = self.lake.read(
            "shadow_predictions", caller=_CALLER, span=span, symbols=[self.symbol]
        ).rows
        return rows.to_dicts()

    @cached_property
    def _market(self) -> pl.DataFrame:
        """Bars of all symbols, as far back as the regime of the session needs them."""
        rules = self.model.rules.read(RegimeLabelingConfig)
        longest = max(
            rules.trend_window_sessions,
            rules.volatility_window_sessions + rules.volatility_history_sessions,
            SHOWN_BARS,
        )
        span = SessionSpan(self.session, self.session).trailing(longest)
        return _pinned(self.lake, "bars", self.versions["bars"], span)

    @cached_property
    def _memory(self) -> ModelMemory:
        memory = ModelMemory(self.settings.memory_path, self.settings.tenant_name)
        if not memory.exists():
            raise StoreError(
                "there are signals, but the memory of who made them is gone",
                where=str(memory.path),
                fix="restore the file from a backup",
            )
        return memory

    @cached_property
    def _master(self) -> MasterReader:
        return MasterReader(self.settings.master_root)


def _pinned(
    reader: TableReader,
    table: str,
    version: int | None,
    span: SessionSpan | None = None,
    symbols: Sequence[str] | None = None,
) -> pl.DataFrame:
    present = reader.version(table)
    if version is None:
        version = present
    if version > present:
        raise _gone(reader, table, version, f"the present version is {present}")
    try:
        pinned = reader.read(table, caller=_CALLER, span=span, symbols=symbols, version=version)
        return pinned.rows
    except OSError as error:
        raise _gone(reader, table, version, str(error)) from error


def _gone(reader: TableReader, table: str, version: int, reason: str) -> MissingDataError:
    return MissingDataError(
        f"version {version} of {table}, which the signal was made from, cannot be read: {reason}",
        where=reader.uri(table),
        fix="restore the table from a backup; maintenance removes versions that no model and no "
        "running step needs",
    )
