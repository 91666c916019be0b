"""What a night comes to, as figures: the one source of the nightly page and of its JSON.

The JSON is `NightlyReport` field by field under the names given here, with `schema` before them:
sessions and times are ISO 8601 (times in UTC), shares and probabilities lie between 0 and 1,
returns are shares too, prices are as traded, and what is not known is null, never left out. A field
is only ever added; another meaning would be another `SCHEMA`. A list that is empty has beside it,
in `why_none`, the sentence that the page says instead.

Everything is as of `session`, but for `runs` and `alerts`: they are as of `written_at`. Of the
sessions up to it, `green` and `coverage` say what the newest audit found.
"""

import dataclasses
import datetime as dt
import json
import math
from typing import Any, Literal

SCHEMA = "turbomode.nightly/1"

Level = Literal["well", "look", "act"]
"""Nothing to do, worth a look, or signals are not to be used before it was looked at."""


@dataclasses.dataclass(frozen=True)
class Concern:
    """One thing that is not as it should be, and the section of the page that says more."""

    level: Level
    text: str
    section: str


@dataclasses.dataclass(frozen=True)
class Green:
    """Daily candles that the session should have, by verdict.

    A session is late below `wanted_share` of GREEN, and nothing is derived below `floor_share`.
    """

    expected: int
    green: int
    amber: int
    red: int
    wanted_share: float
    floor_share: float

    @property
    def share(self) -> float | None:
        """GREEN among the expected; None where nothing is expected or nothing was audited."""
        return self.green / self.expected if self.expected else None


@dataclasses.dataclass(frozen=True)
class Model:
    """An ensemble that signals of the session come from."""

    model_version: str
    role: str
    as_of_session: dt.date | None
    trained_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Signal:
    """What went out for a symbol; what is traded on it is None in signals of older programs."""

    rank: int | None
    symbol: str
    signal: str
    confidence: float | None
    p_buy: float
    p_hold: float
    p_sell: float
    entry_session: dt.date | None
    entry_price_estimate: float | None
    profit_take_price: float | None
    stop_loss_price: float | None
    expiry_session: dt.date | None
    model_version: str
    role: str


@dataclasses.dataclass(frozen=True)
class Signals:
    """Signals of the session, strongest first, and the waivers of the GREEN gate behind them."""

    rows: tuple[Signal, ...] = ()
    models: tuple[Model, ...] = ()
    gate_overrides: tuple[str, ...] = ()
    why_none: str | None = None

    def count(self, side: str) -> int:
        """How many symbols have a signal."""
        return sum(row.signal == side for row in self.rows)


@dataclasses.dataclass(frozen=True)
class OutcomeGroup:
    """Figures of a group of signals that were due; as `outcome_figures` of the signals room."""

    by: str
    group: str
    rows: int
    wins: int
    losses: int
    expired: int
    hit_rate: float | None
    came_true: float | None
    mean_probability: float | None
    expectancy: float | None


@dataclasses.dataclass(frozen=True)
class SettledSignal:
    """A position whose outcome became known in the session."""

    symbol: str
    signalled: dt.date
    signal: str
    outcome: str
    exit_reason: str
    exit_session: dt.date
    return_: float


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """How the champions' signals ended that were given since `first` and are due by the session.

    `open` are positions that are not due yet, `overdue` signals that are and have no outcome: those
    without a bar to enter at never get one. `due_tonight` of all were due in the session itself,
    of which `unsettled_tonight` have no outcome.
    """

    first: dt.date
    groups: tuple[OutcomeGroup, ...] = ()
    settled: tuple[SettledSignal, ...] = ()
    open: int = 0
    overdue: int = 0
    due_tonight: int = 0
    unsettled_tonight: int = 0
    why_none: str | None = None

    @property
    def overall(self) -> OutcomeGroup | None:
        """Figures of all positions."""
        return next((group for group in self.groups if group.by == "all"), None)


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """Probabilities between two bounds for a side: what was said, and how often it came true."""

    side: str
    lower: float
    upper: float
    rows: int
    mean_probability: float
    observed_share: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Whether probabilities mean what they say, over the same signals as `Outcomes`, HOLD too."""

    rows: int = 0
    brier_score: float | None = None
    calibration_error: float | None = None
    points: tuple[CalibrationPoint, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class DriftedFeature:
    """How far a feature (or what else `subject` names) is from the champion's reference."""

    feature: str
    subject: str
    psi: float | None
    psi_maximum: float | None
    kl: float | None
    ks: float | None
    verdict: str


@dataclasses.dataclass(frozen=True)
class DriftLevel:
    """Mean of a probability over its window and its step in log odds, and what they may be.

    `moved` where either is beyond: the verdict on the predictions is then an alert.
    """

    feature: str
    mean: float | None
    mean_least: float
    mean_most: float
    step: float | None
    step_limit: float
    moved: bool


@dataclasses.dataclass(frozen=True)
class DriftPoint:
    """How many features exceeded their limits in a session."""

    session: dt.date
    exceeding: int
    features: int
    share: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Drift:
    """The verdict of the session, its worst features, and the sessions up to it.

    Of predictions and outcomes everything that exceeds is among the worst.
    """

    alarm_share: float
    verdict: str | None = None
    predictions_verdict: str | None = None
    outcomes_verdict: str | None = None
    features: int = 0
    exceeding: int = 0
    share: float | None = None
    retrain: bool = False
    model_version: str | None = None
    worst: tuple[DriftedFeature, ...] = ()
    trend: tuple[DriftPoint, ...] = ()
    levels: tuple[DriftLevel, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class CoverageSession:
    """Cells of a session by verdict."""

    session: dt.date
    green: int
    amber: int
    red: int


@dataclasses.dataclass(frozen=True)
class CoverageRow:
    """A symbol's verdict in each session: G, A, R, or a dot where nothing is expected."""

    symbol: str
    verdicts: str


@dataclasses.dataclass(frozen=True)
class CoverageReason:
    """How many cells have a reason and verdict; a cell with two reasons counts under both."""

    reason: str
    verdict: str
    cells: int


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Daily candles of the last sessions, symbol by symbol.

    Of too many symbols those with the most that is not GREEN have rows; `left_out` have none.
    """

    sessions: tuple[CoverageSession, ...] = ()
    rows: tuple[CoverageRow, ...] = ()
    left_out: int = 0
    reasons: tuple[CoverageReason, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class EquityPoint:
    """Equity at the end of a stretch of sessions, and the deepest drawdown within it."""

    session: dt.date
    equity: float
    drawdown: float


@dataclasses.dataclass(frozen=True)
class NamedFigure:
    """A figure of a backtest, as it was stored: a number, a session or a sentence."""

    name: str
    value: float | str | None


@dataclasses.dataclass(frozen=True)
class Backtest:
    """The last backtest at or before the session."""

    session: dt.date | None = None
    figures: tuple[NamedFigure, ...] = ()
    equity: tuple[EquityPoint, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the platform; `seconds` is None until it ends, `failure` None unless it failed.

    `left_undone` names what of a failed run no later run has made; None where nothing is left, and
    for a failure that was tried again since.
    """

    run_id: str
    job: str
    sessions: str | None
    status: str
    created_at: dt.datetime
    seconds: float | None
    failure: str | None
    covers_session: bool
    left_undone: str | None = None


@dataclasses.dataclass(frozen=True)
class Runs:
    """Runs of the last days, the newest first: of many, not all that went well."""

    rows: tuple[Run, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class Alert:
    """Something that lasts and that people were, or are to be, told of."""

    severity: str
    kind: str
    title: str
    detail: str
    remedy: str
    first_seen: dt.datetime
    last_seen: dt.datetime
    times: int
    acknowledged_by: str | None


@dataclasses.dataclass(frozen=True)
class Alerts:
    """Open alerts, the most severe first."""

    rows: tuple[Alert, ...] = ()
    why_none: str | None = None


@dataclasses.dataclass(frozen=True)
class NightlyReport:
    """A night: whether all is well, and what every part of the platform says."""

    session: dt.date
    written_at: dt.datetime
    tenant: str
    vendors: tuple[str, ...]
    level: Level
    concerns: tuple[Concern, ...]
    green: Green
    signals: Signals
    outcomes: Outcomes
    calibration: Calibration
    drift: Drift
    coverage: Coverage
    backtest: Backtest
    runs: Runs
    alerts: Alerts


def nightly_json(report: NightlyReport) -> str:
    """Write the figures as one JSON object; see the top of this module."""
    fields = {field.name: _plain(getattr(report, field.name)) for field in _fields(report)}
    return json.dumps({"schema": SCHEMA, **fields}, allow_nan=False) + "\n"


def finite(value: float | None) -> float | None:
    """Return a number, or None where it is none: JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def _fields(record: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(record)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in _fields(value))
        return {name.removesuffix("_"): _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
