"""How often each vendor may be asked: `budgets` of `vendors.json`."""

from typing import Annotated, Literal

from pydantic import Field

from turbomode_assets.config.section import Section

Scope = Literal["vendor", "group", "identity"]


class WindowConfig(Section):
    """At most `limit` calls in any `seconds`, counted for each value of `per`.

    `vendor` counts every call and `group` those about the same instrument and kind of data, both by
    weight; `identity` counts those that are the same in every respect.
    """

    per: Scope
    limit: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(gt=0)]


class BucketConfig(Section):
    """A token bucket: holds `capacity` calls and gains `per_second` of them."""

    capacity: Annotated[int, Field(ge=1)]
    per_second: Annotated[float, Field(gt=0)]


class BudgetConfig(Section):
    """The limits of one vendor, all of which hold at once.

    A call whose turn comes within `longest_wait_seconds` waits for it; any other is refused until
    then. `margin_seconds` is added to every window for the time a call takes to arrive. After the
    vendor itself says that it was asked too often, it is left alone for `cool_off_seconds`.
    """

    windows: list[WindowConfig]
    bucket: BucketConfig | None
    open_calls: Annotated[int, Field(ge=1)] | None
    margin_seconds: Annotated[float, Field(ge=0)]
    longest_wait_seconds: Annotated[float, Field(ge=0)]
    cool_off_seconds: Annotated[float, Field(ge=0)]
