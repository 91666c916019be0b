"""How candles are screened and repaired: section `curation` of `data_quality_config.json`."""

from typing import Annotated

from pydantic import Field

from turbomode_assets.config.section import Section


class CurationConfig(Section):
    """Thresholds of the detectors that look at a bar beside the bars before it.

    A bar is compared with the median close of the `look_back_sessions` sessions before it.
    """

    look_back_sessions: Annotated[int, Field(ge=5, le=63)]
