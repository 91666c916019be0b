"""What a section of the nightly page is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from turbomode_assets.nightly.figures import NightlyReport


@dataclass(frozen=True)
class SectionValues:
    """What a section's template is given; `why_none` says why there is nothing, where there is."""

    why_none: str | None
    values: Mapping[str, object]


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading; its template is called like it."""

    name: str
    heading: str
    values: Callable[[NightlyReport], SectionValues]
