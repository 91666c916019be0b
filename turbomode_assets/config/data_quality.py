"""The file `data_quality_config.json`: what market data must be like before anything reads it."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turbomode_assets.config.completeness import (
    BackfillConfig,
    FreshnessConfig,
    GateConfig,
    LedgerConfig,
)
from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.config.section import ConfigurationFile


class DataQualityConfig(ConfigurationFile):
    """Curation, the completeness ledger, backfill, freshness and the GREEN gate."""

    changelog: Annotated[dict[str, str], Field(min_length=1)]
    curation: CurationConfig
    ledger: LedgerConfig
    backfill: BackfillConfig
    freshness: FreshnessConfig
    gate: GateConfig

    @model_validator(mode="after")
    def _version_is_in_changelog(self) -> Self:
        if self.version not in self.changelog:
            raise ValueError(f"version {self.version} has no changelog entry")
        return self
