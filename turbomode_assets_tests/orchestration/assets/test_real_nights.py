"""Real prices: past nights, each a run of its own, say what one run over all of them says."""

import dataclasses
import datetime as dt
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, MasterReader, ModelMemory
from turbomode_assets_tests.builders import (
    QUICK_TRAINING,
    real_data_folder,
    run_assets,
    write_configs,
)
from turbomode_assets_tests.market import DERIVED, INGESTION

pytestmark = pytest.mark.real_data

LAST = dt.date(2017, 11, 10)
LONG_HISTORY, SHORT_HISTORY = 560, 260
"""Sessions before the day of training. It learns from 252, whose features look back further."""
P = ("p_sell", "p_hold", "p_buy")
EQUAL_WITHIN = 1e-6
SLICE = ("AAPL", "GE", "JPM", "SPY", "XOM")
MADE = ("bars", "features", "labels", "predictions")
VARYING = ("store_versions",)
"""Columns that name the run's own reads."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """The same past sessions, once night by night and once as one range."""

    nights: SettingsResource
    ranged: SettingsResource
    span: SessionSpan
    seconds: tuple[float, ...]

    @property
    def both(self) -> tuple[SettingsResource, SettingsResource]:
        """Settings of the nights, and of the range."""
        return self.nights, self.ranged


def settings_of(root: Path, archive: Path) -> SettingsResource:
    """Settings of a store that the files in `archive` fill."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    configs = write_configs(
        root / "configs",
        training=QUICK_TRAINING,
        **{
            "precedence": ["archive"],
            "archive.folder": str(archive),
            "archive.adjustment": "split_dividend",
            "archive.adjusted_as_of": str(LAST),
        },
    )
    return SettingsResource(data_root=str(root / "data"), config_dir=str(configs))


def replay(
    root: Path, sessions: int, *, history_sessions: int, symbols: tuple[str, ...] | None = None
) -> Replay:
    """Train before the sessions up to LAST, then run them in both ways."""
    span = SessionSpan(offset_session(LAST, 1 - sessions), LAST)
    eve = offset_session(span.first, -1)
    history = SessionSpan(offset_session(eve, -history_sessions), eve)
    archive = root / "archive"
    archive.mkdir()
    prices = pl.scan_parquet(real_data_folder() / "daily.parquet")
    wanted = pl.col("date") >= history.first
    if symbols is not None:
        wanted &= pl.col("symbol").is_in(list(symbols))
    prices.filter(wanted).collect().write_parquet(archive / "daily.parquet")
    trained = settings_of(root / "nights", archive)
    run_assets(trained, INGESTION + DERIVED, history)
    run_assets(trained, ["ensemble"], SessionSpan(eve, eve))
    shutil.copytree(root / "nights", root / "ranged")
    ranged = settings_of(root / "ranged", archive)
    night = [*INGESTION, *DERIVED, "signals"]
    seconds = []
    for session in span.sessions:
        with stopwatch(seconds):
            run_assets(trained, night, SessionSpan(session, session))
    run_assets(ranged, night, span)
    return Replay(trained, ranged, span, tuple(seconds))


@contextmanager
def stopwatch(seconds: list[float]) -> Iterator[None]:
    """Add what the block took."""
    started = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - started)


def rows_of(settings: SettingsResource, table: str) -> pl.DataFrame:
    """A table of the lake, without what names the run's own reads."""
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    return lake.read(table, caller="test").rows.drop(VARYING, strict=False)


def history_of(settings: SettingsResource) -> pl.DataFrame:
    """Every signal in model memory."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    rows = memory.query("SELECT * FROM signal_history ORDER BY session, symbol, model_version")
    return rows.drop(VARYING)


def largest_difference(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """How far the probabilities of two tables with the same keys are apart, at most."""
    return float(np.abs(one.select(P).to_numpy() - other.select(P).to_numpy()).max())


def require_equal(done: Replay) -> float:
    """Hold everything that the nights made against what the range made."""
    for table in MADE[:-1]:
        nightly, ranged = (rows_of(each, table) for each in done.both)
        assert nightly.equals(ranged), table
    nightly, ranged = (rows_of(each, "predictions") for each in done.both)
    said = [name for name in nightly.columns if name not in P]
    assert nightly.select(said).equals(ranged.select(said))
    assert nightly["session"].unique().sort().to_list() == done.span.sessions
    difference = largest_difference(nightly, ranged)
    assert difference <= EQUAL_WITHIN
    one, other = (history_of(each) for each in done.both)
    assert largest_difference(one, other) <= EQUAL_WITHIN
    kept = [name for name in one.columns if name not in (*P, "confidence")]
    assert one.select(kept).equals(other.select(kept))
    candles = [
        MasterReader(each.master_root).read("candles", caller="test").rows for each in done.both
    ]
    assert candles[0].drop("ingested_at").equals(candles[1].drop("ingested_at"))
    return difference


@pytest.mark.slow
def test_nights_of_some_symbols_say_what_one_range_says(tmp_path):
    require_equal(replay(tmp_path, 2, history_sessions=SHORT_HISTORY, symbols=SLICE))


@pytest.mark.slow
def test_sixty_nights_of_every_symbol_say_what_one_range_says(tmp_path):
    done = replay(tmp_path, 61, history_sessions=LONG_HISTORY)
    difference = require_equal(done)
    signals = history_of(done.nights)
    kinds = dict(signals.group_by("signal").len().iter_rows())
    print(
        f"{len(done.seconds)} nights, {signals['symbol'].n_unique()} symbols, {kinds}; largest "
        f"difference of probabilities {difference:.1e}; seconds of a night: median "
        f"{np.median(done.seconds):.2f}, longest {max(done.seconds):.2f}"
    )
