"""A run of consecutive sessions."""

import datetime as dt
from dataclasses import dataclass

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions.calendar import (
    offset_session,
    require_session,
    session_index,
    sessions_between,
)


@dataclass(frozen=True)
class SessionSpan:
    """The sessions from `first` to `last`, both included."""

    first: dt.date
    last: dt.date

    def __post_init__(self) -> None:
        """Refuse ends that are no sessions or stand the wrong way round."""
        require_session(self.first, where="first session of a span")
        require_session(self.last, where="last session of a span")
        if self.last < self.first:
            raise InputError(
                f"a span cannot end ({self.last}) before it begins ({self.first})",
                where="SessionSpan",
                fix="give the earlier session first",
            )

    @property
    def sessions(self) -> list[dt.date]:
        """Every session of the span."""
        return sessions_between(self.first, self.last)

    @property
    def first_day(self) -> dt.date:
        """First calendar day that belongs to the span: the day after the previous session."""
        return offset_session(self.first, -1) + dt.timedelta(days=1)

    def trailing(self, count: int) -> "SessionSpan":
        """This span with `count` sessions more before it, as far as the calendar reaches."""
        reach = min(count, session_index(self.first))
        return SessionSpan(offset_session(self.first, -reach), self.last)

    def __str__(self) -> str:
        """Write the span as its ends."""
        return str(self.first) if self.first == self.last else f"{self.first}...{self.last}"
