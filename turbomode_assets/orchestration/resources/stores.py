"""What assets are handed to reach the stores. Nothing here writes market data."""

import dagster as dg

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory


class MasterReaderResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out the reader of the master store."""

    settings: SettingsResource

    def open(self) -> MasterReader:
        """Open the master store for reading."""
        return MasterReader(self.settings.master_root)


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out the tenant's lake."""

    settings: SettingsResource

    def open(self) -> Lake:
        """Open the tenant's lake."""
        tables = lake_tables(feature_names())
        return Lake(self.settings.lake_root, self.settings.tenant_name, tables)


class MemoryResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out the tenant's model memory."""

    settings: SettingsResource

    def open(self) -> ModelMemory:
        """Open the tenant's model memory."""
        return ModelMemory(self.settings.memory_path, self.settings.tenant_name)


class ArtifactsResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out the tenant's artifacts."""

    settings: SettingsResource

    def open(self) -> Artifacts:
        """Open the tenant's artifacts."""
        return Artifacts(self.settings.artifacts_root)
