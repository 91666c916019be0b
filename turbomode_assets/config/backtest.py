"""The file `backtest_config.json`: how stored predictions are traded in a backtest."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.section import ConfigurationFile, Section

BasisPoints = Annotated[float, Field(ge=0, lt=10_000)]


class BacktestConfig(Section):
    """Capital, costs and limits of a backtest.

    `initial_capital_usd` is what it starts with. Each side of a trade, entry and exit, pays
    `cost_bps` of the amount traded, at a price that is `slippage_bps` worse than the bar's.

    At most `maximum_positions` are open at a time, together at most `maximum_gross_exposure` times
    the equity (longs plus shorts; 1 is without borrowing), one symbol at most `position_limit` of
    it. Limits bind when a position is opened: what grows beyond them later is not cut back.

    With `sizing` "equal" every position gets the same share of the equity, maximum_gross_exposure
    / maximum_positions; with "probability" that share times the probability of its side. The last
    that fits may get less: costs of entry take room too.
    """

    initial_capital_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    cost_bps: BasisPoints
    slippage_bps: BasisPoints
    position_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    maximum_gross_exposure: Annotated[float, Field(gt=0, le=10)]
    maximum_positions: Annotated[int, Field(ge=1)]
    sizing: Literal["equal", "probability"]

    @model_validator(mode="after")
    def _limit_of_one_is_within_the_limit_of_all(self) -> Self:
        if self.position_limit > self.maximum_gross_exposure:
            raise ValueError(
                f"position_limit ({self.position_limit}) must not be above "
                f"maximum_gross_exposure ({self.maximum_gross_exposure})"
            )
        return self


class BacktestFile(ConfigurationFile):
    """How far back stored signals are traded, how, and how finely luck is told from skill.

    The last `sessions` sessions up to a run's last one are traded, all with null. For the
    probability of overfitting the sessions of champion and challenger are cut into
    `overfitting_blocks`; it takes two sessions for each.
    """

    changelog: Annotated[dict[str, str], Field(min_length=1)]
    sessions: Annotated[int, Field(ge=2)] | None
    overfitting_blocks: Annotated[int, Field(ge=4, le=32, multiple_of=2)]
    trading: BacktestConfig

    @model_validator(mode="after")
    def _version_is_in_changelog(self) -> Self:
        if self.version not in self.changelog:
            raise ValueError(f"version {self.version} has no changelog entry")
        return self
