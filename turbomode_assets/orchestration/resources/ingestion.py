"""The resource that hands ingestion what it works with."""

import time
import uuid

import dagster as dg

from turbomode_assets.ingestion.following import require_ingestion
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations, RationedBudget, utc_now
from turbomode_assets.vendors import build_vendors


class IngestionResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands ingestion its vendors, budgets and memory of what was asked."""

    settings: SettingsResource

    def open(self) -> IngestionTools:
        """Build everything that the configuration names.

        Raises:
            ConfigurationError: this tenant does not ingest.
        """
        require_ingestion(self.settings, "asking vendors")
        config, configs = self.settings.vendors(), self.settings.configs
        operations = Operations(self.settings.operations_url)
        budget = RationedBudget(operations, config.budgets, clock=utc_now, sleep=time.sleep)
        root = self.settings.root
        vendors = build_vendors(config, data_root=root, configs=configs, budget=budget, now=utc_now)
        master = MasterReader(self.settings.master_root)
        owner = f"worker-{uuid.uuid4()}"
        return IngestionTools(
            config,
            self.settings.data_quality(),
            configs,
            vendors,
            master,
            operations,
            budget,
            owner,
            utc_now,
            time.sleep,
        )
