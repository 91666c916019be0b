"""Where things are: data root, tenant and configuration folder, from the environment."""

import os
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from turbomode_assets.config.backtest import BacktestFile
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.loader import (
    load_backtest_file,
    load_data_quality_config,
    load_scheduler_config,
    load_training_config,
    load_vendors_config,
)
from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.contracts.store_paths import require_usable_path

DATA_ROOT_VARIABLE = "TURBOMODE_DATA_ROOT"
TENANT_VARIABLE = "TURBOMODE_TENANT"
OPERATIONS_VARIABLE = "TURBOMODE_OPERATIONS_URL"
CONFIG_DIR_VARIABLE = "TURBOMODE_CONFIG_DIR"
ALERT_URLS_VARIABLE = "TURBOMODE_ALERT_URLS"
HEARTBEAT_URL_VARIABLE = "TURBOMODE_HEARTBEAT_URL"
INGESTS_VARIABLE = "TURBOMODE_INGESTS"
DAGSTER_HOME_VARIABLE = "DAGSTER_HOME"
DEFAULT_TENANT = "default"

_REPOSITORY = Path(__file__).resolve().parents[1]
_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Settings(BaseModel):
    """Paths and configuration of one tenant; what is not given here comes from the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_root: str | None = None
    tenant: str | None = None
    config_dir: str | None = None
    ingestion: str | None = None
    """`yes` or `no`: whether this tenant ingests."""

    @property
    def root(self) -> Path:
        """The data root, an existing absolute folder.

        Raises:
            ConfigurationError: it is not set, relative, does not exist, or has a name that tables
                cannot be kept below.
        """
        given = self.data_root or os.environ.get(DATA_ROOT_VARIABLE)
        if not given:
            raise ConfigurationError(
                "the data root is not set",
                where=f"environment variable {DATA_ROOT_VARIABLE}",
                fix="run `make .env`, or set it to an absolute path",
            )
        root = Path(given)
        if not root.is_absolute() or not root.is_dir():
            raise ConfigurationError(
                f"the data root {given!r} is "
                + ("not an absolute path" if not root.is_absolute() else "no folder"),
                where=f"environment variable {DATA_ROOT_VARIABLE}",
                fix="set it to the absolute path of an existing folder",
            )
        require_usable_path(root, where=f"environment variable {DATA_ROOT_VARIABLE}")
        return root

    @property
    def tenant_name(self) -> str:
        """Whose lake, memory and artifacts are opened.

        Raises:
            ConfigurationError: the name could leave its folder or be mistaken for another.
        """
        name = self.tenant or os.environ.get(TENANT_VARIABLE) or DEFAULT_TENANT
        if not _TENANT_NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} is no tenant name",
                where=f"environment variable {TENANT_VARIABLE}",
                fix="use lower-case letters, digits, - and _, starting with a letter or digit",
            )
        return name

    @property
    def ingests(self) -> bool:
        """Whether this tenant asks vendors and writes the master; else it follows one that does.

        Raises:
            ConfigurationError: it is neither yes nor no.
        """
        given = (
            os.environ.get(INGESTS_VARIABLE, "yes") if self.ingestion is None else self.ingestion
        )
        if given not in ("yes", "no"):
            raise ConfigurationError(
                f"{given!r} is neither yes nor no",
                where=f"environment variable {INGESTS_VARIABLE}",
                fix="write no where another tenant ingests into the master store, else yes",
            )
        return given == "yes"

    @property
    def configs(self) -> Path:
        """Folder of the configuration files."""
        given = self.config_dir or os.environ.get(CONFIG_DIR_VARIABLE)
        return Path(given) if given else _REPOSITORY / "configs"

    @property
    def master_root(self) -> str:
        """Root of the shared master store."""
        return str(self.root / "master")

    @property
    def operations_url(self) -> str:
        """Database of queue, leases and vendor budgets, shared by all who ingest into this master.

        It may hold a password: never show it.
        """
        given = os.environ.get(OPERATIONS_VARIABLE)
        return given or f"sqlite:///{self.root / 'operations' / 'operations.sqlite'}"

    @property
    def alert_urls(self) -> tuple[str, ...]:
        """Addresses that alerts go to, as apprise writes them. Secrets: never show them."""
        return tuple(os.environ.get(ALERT_URLS_VARIABLE, "").split())

    @property
    def heartbeat_url(self) -> str | None:
        """Address that is called on each day that all is well. A secret: never show it."""
        return os.environ.get(HEARTBEAT_URL_VARIABLE, "").strip() or None

    @property
    def dagster_home(self) -> str | None:
        """Folder of Dagster's configuration and history, as the environment names it."""
        return os.environ.get(DAGSTER_HOME_VARIABLE)

    @property
    def lake_root(self) -> str:
        """Root of the tenant's lake."""
        return str(self.root / "lake" / self.tenant_name)

    @property
    def memory_path(self) -> Path:
        """The tenant's DuckDB file."""
        return self.root / "memory" / self.tenant_name / "turbomode.duckdb"

    @property
    def artifacts_root(self) -> Path:
        """Root of the tenant's model files and reports."""
        return self.root / "artifacts" / self.tenant_name

    def training(self) -> TrainingConfig:
        """Read the training configuration."""
        return load_training_config(self.configs)

    def vendors(self) -> VendorsConfig:
        """Read the vendors' settings."""
        return load_vendors_config(self.configs)

    @property
    def is_simulated(self) -> bool:
        """Whether the market data are made up."""
        return self.vendors().precedence == ["simulated"]

    def scheduler(self) -> SchedulerConfig:
        """Read the schedules."""
        return load_scheduler_config(self.configs)

    def data_quality(self) -> DataQualityConfig:
        """Read what market data must be like."""
        return load_data_quality_config(self.configs)

    def backtest(self) -> BacktestFile:
        """Read how stored predictions are traded."""
        return load_backtest_file(self.configs)
