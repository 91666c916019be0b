"""Everything that explains a stored signal, from what was recorded with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import SignalsConfig, TripleBarrierConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.modelling.signal_sources import SignalSources
from turbomode_assets.reports.explanation import ExplainedSignal
from turbomode_assets.signals.decision import HOLD
from turbomode_assets.signals.explanation import (
    deciding_rule,
    places_in_history,
    probability_table,
)

_TIMEFRAME = "1d"


@dataclass(frozen=True)
class ModelReasons:
    """What the model's own parts say of a signal: recorded with it, or computed again.

    `probabilities` and `contributions` as in `ExplainedSignal`, without places in the history.
    `source` says where they are from, `check` whether they give what went out.
    """

    source: str
    probabilities: pl.DataFrame
    contributions: pl.DataFrame
    check: str
    check_failed: bool = False
    warnings: Sequence[str] = ()


def explained_signal(sources: SignalSources, *, top: int, anew: bool) -> ExplainedSignal:
    """Gather everything that explains a stored signal; `top` features for each side.

    What its model says is computed anew where asked, or where it was not recorded.

    Raises:
        MissingDataError: versions that it was made from are no longer stored.
        StoreError: files of the model are gone or altered.
    """
    row = sources.row
    # First, for it reads what refuses soonest: files of the model, stored features.
    reasons = None if anew else _recorded(sources, top)
    if reasons is None:
        # What trains and what computes features takes seconds to load.
        from turbomode_assets.cli.recomputing import recomputed

        reasons = recomputed(sources, top)
    decided, rule = deciding_rule(sources.probabilities, sources.model.rules.read(SignalsConfig))
    ledger = sources.ledger
    verdicts = ledger.filter(pl.col("timeframe") == _TIMEFRAME).select("session", "verdict")
    return ExplainedSignal(
        title=f"{row['signal']} {sources.symbol} {sources.session}",
        vendor=row["vendor"],
        signal=_signal_facts(sources, rule),
        origin=_origin_facts(sources),
        live=sources.live,
        decisions=sources.decisions,
        probabilities=reasons.probabilities,
        probabilities_source=reasons.source,
        contributions=_placed(sources, reasons.contributions),
        bars=sources.bars.join(
            verdicts, on="session", how="left", validate="1:1", maintain_order="left"
        ),
        ledger=ledger.filter(pl.col("session") == sources.session),
        check=reasons.check,
        check_failed=reasons.check_failed,
        warnings=[*_warnings(sources, decided), *reasons.warnings],
    )


def _recorded(sources: SignalSources, top: int) -> ModelReasons | None:
    """What was recorded with the signal; None where that was not, or less than is asked for."""
    said = sources.recorded("model_probabilities").sort("place")
    moved = sources.recorded("contributions").filter(pl.col("rank") <= top)
    if said.is_empty() or moved.is_empty():
        return None
    if moved.item(-1, "rank") < min(top, len(sources.model.columns)):
        return None
    columns = [f"p_{name.lower()}" for name in CLASSES]
    names = said.get_column("model").to_list()
    gone = pl.lit("the model's formula was no longer declared when the signal was given")
    return ModelReasons(
        source="recorded with the signal",
        probabilities=probability_table(
            names, said.select(columns).to_numpy(), sources.probabilities
        ),
        contributions=moved.sort("class", "rank").with_columns(pl.col("formula").fill_null(gone)),
        check="Of the stack, what went out; --again computes all of them from the stored features.",
    )


def _placed(sources: SignalSources, moved: pl.DataFrame) -> pl.DataFrame:
    """Say of each feature where its value stands in the symbol's history."""
    names = moved.get_column("feature").unique(maintain_order=True).to_list()
    places = places_in_history(sources.history(names), names)
    placed = moved.join(places, on="feature", how="left", validate="m:1", maintain_order="left")
    return placed.select(
        *("class", "rank", "feature", "value", "contribution"),
        *("percentile", "sessions", "formula"),
    )


def _signal_facts(sources: SignalSources, rule: str) -> dict[str, str]:
    row, thresholds = sources.row, sources.model.rules.read(SignalsConfig)
    role = sources.remembered.get("role", "unrecorded model")
    facts = {"signal": f"{row['signal']}, sent as the {role}'s"}
    facts |= {f"P({name})": f"{row[f'p_{name.lower()}']:.6f}" for name in CLASSES}
    facts |= {
        "thresholds": f"BUY {thresholds.buy_threshold:g}, SELL {thresholds.sell_threshold:g} "
        "(the configuration stored with the model)",
        "rule": rule,
        **_traded(sources),
        "regime": sources.regime() or "unknown: too few sessions before",
        "sector": sources.sector() or "not mapped",
        "gate override": row["gate_override"] or "none",
        "outcome": _outcome(sources.label()),
    }
    shadow = "; ".join(f"{said['model_version']} said {_said(said)}" for said in sources.shadow())
    return facts | ({"challenger": shadow} if shadow else {})


def _traded(sources: SignalSources) -> dict[str, str]:
    """Rank, entry, barriers and expiry, as model memory has them."""
    kept = sources.remembered
    if kept.get("entry_session") is None:
        return {"trade": "not recorded with this signal"}
    price, rule = kept["entry_price_estimate"], sources.model.rules.read(TripleBarrierConfig)
    is_exact = rule.entry == "close"
    facts = {
        "entry": f"{kept['entry_session']} at {price:.6g} USD, the session's close"
        + ("" if is_exact else ", an estimate of the open"),
    }
    if kept["profit_take_price"] is not None:
        width = f"{rule.profit_take:g} and {rule.stop_loss:g} daily volatilities up and down"
        facts["profit at"] = _distance(kept["profit_take_price"], price)
        facts["stop at"] = f"{_distance(kept['stop_loss_price'], price)} ({width})"
    expiry = f"{kept['expiry_session']}, {rule.horizon_sessions} sessions after the entry"
    rank = "none: it is held" if kept["signal"] == HOLD else "none: it did not go out"
    return facts | {
        "expiry": expiry,
        "rank": rank if kept["rank"] is None else f"{kept['rank']} of the session, by probability",
    }


def _distance(price: float, entry: float) -> str:
    return f"{price:.6g} USD, {price / entry - 1:+.2%}"


def _origin_facts(sources: SignalSources) -> dict[str, str]:
    row, version = sources.row, sources.configuration_version()
    return {
        "model": f"{sources.model_version}, trained as of {sources.model.as_of}",
        "tables": ", ".join(f"{name} v{at}" for name, at in sources.versions.items()),
        "configuration": f"version {version or 'not recorded'} {row['config_digest']}",
        "feature set": row["feature_digest"],
        "data origin": f"vendor={row['vendor']}",
    }


def _outcome(label: dict[str, Any] | None) -> str:
    if label is None:
        return "not known yet"
    return (
        f"{CLASSES[label['label']]} ({label['exit_reason']}), known on {label['session']}: in at "
        f"{label['entry_price']:.6g} on {label['entry_session']}, out at "
        f"{label['exit_price']:.6g} on {label['exit_session']}, return {label['return']:+.2%}"
    )


def _said(row: dict[str, Any]) -> str:
    each = (f"P({name}) {row[f'p_{name.lower()}']:.6f}" for name in CLASSES)
    return f"{row['signal']}: {', '.join(each)}"


def _warnings(sources: SignalSources, decided: str) -> list[str]:
    row, model = sources.row, sources.model
    found = []
    if decided != row["signal"]:
        found.append(f"The rule gives {decided}, but {row['signal']} is stored.")
    if sources.model_version not in sources.live.get_column("model_version"):
        found.append(
            f"By the log as it is now, {sources.model_version} was neither champion nor challenger "
            "of this session: it was decided otherwise since."
        )
    label = sources.label()
    barriers = digest_of(model.rules.read(TripleBarrierConfig))
    if label is not None and label["rule_digest"] != barriers:
        found.append("The outcome was labelled by another triple_barrier rule than the model's.")
    if model.provenance["config_digest"] != row["config_digest"]:
        found.append("The model's files hold another configuration than the signal records.")
    return found
