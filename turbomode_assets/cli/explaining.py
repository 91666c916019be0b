"""Everything that explains a stored signal, computed again from what it was made from."""

from typing import Any

import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import SignalsConfig, TripleBarrierConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.ensemble.contributions import feature_contributions, top_contributions
from turbomode_assets.features import describe_features, present_set
from turbomode_assets.modelling.feature_sets import model_feature_set
from turbomode_assets.modelling.signal_sources import SignalSources
from turbomode_assets.models import Probabilities
from turbomode_assets.reports.explanation import ExplainedSignal
from turbomode_assets.signals.decision import HOLD
from turbomode_assets.signals.explanation import (
    EQUAL_WITHIN,
    deciding_rule,
    explained_classes,
    largest_difference,
    places_in_history,
    probability_table,
)

_TIMEFRAME = "1d"


def explained_signal(sources: SignalSources, *, top: int) -> ExplainedSignal:
    """Recompute everything that explains a stored signal; `top` features for each side.

    Raises:
        MissingDataError: versions that it was made from are no longer stored.
        StoreError: files of the model are gone or altered.
    """
    row = sources.row
    # First, for it reads what refuses soonest: files of the model, stored features.
    table, recomputed = _recomputed(sources)
    difference = largest_difference(sources.probabilities, recomputed)
    is_equal = difference <= EQUAL_WITHIN
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
        probabilities=table,
        contributions=_contributions(sources, top),
        bars=sources.bars.join(
            verdicts, on="session", how="left", validate="1:1", maintain_order="left"
        ),
        ledger=ledger.filter(pl.col("session") == sources.session),
        check=f"The stack's probabilities {'equal' if is_equal else 'DIFFER from'} the stored "
        f"ones: largest difference {difference:.1e}, allowed {EQUAL_WITHIN:.0e}.",
        check_failed=not is_equal,
        warnings=_warnings(sources, decided),
    )


def _recomputed(sources: SignalSources) -> tuple[pl.DataFrame, Probabilities]:
    """What each of the nine models says of the stored features, and the stack's own row."""
    model = sources.model
    base = model.base_probabilities(sources.matrix)
    stack = model.calibrator.apply(model.meta_learner.predict_proba(base))[0]
    return probability_table(list(model.models), base[0], stack), stack


def _contributions(sources: SignalSources, top: int) -> pl.DataFrame:
    model, matrix = sources.model, sources.matrix
    added = feature_contributions(model.models, matrix)
    largest = top_contributions(added, matrix.values, model.columns, count=top)
    sides = explained_classes(sources.row["signal"])
    shown = pl.concat(largest.filter(pl.col("class") == side) for side in sides)
    names = shown.get_column("feature").unique(maintain_order=True).to_list()
    unknown = pl.lit("this version of turbomode_assets has no such feature")
    formulas = describe_features().select("formula", feature="name")
    for more in (places_in_history(sources.history, names), formulas):
        shown = shown.join(more, on="feature", how="left", validate="m:1", maintain_order="left")
    return shown.with_columns(pl.col("formula").fill_null(unknown))


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
    read = model_feature_set(model.stored_features)
    present = present_set(read.benchmark)
    changed = [name for name, digest in read.columns.items() if present.columns.get(name) != digest]
    if changed:
        found.append(
            f"The model reads {len(changed)} columns by formulas that this program no longer has: "
            f"{first_few(changed)}. What is written of these here is the present formula, if any."
        )
    return found
