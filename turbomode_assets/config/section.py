"""The base of every configuration section."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen, and refuses keys it does not know. Values live in the JSON files, not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigurationFile(Section):
    """A whole file, with its semantic version."""

    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
