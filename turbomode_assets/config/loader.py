"""Reading the JSON files, with errors that name file, key, value and remedy."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from turbomode_assets.config.backtest import BacktestFile
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.file_names import (
    BACKTEST_FILE as BACKTEST_FILE,
)
from turbomode_assets.config.file_names import (
    DATA_QUALITY_FILE as DATA_QUALITY_FILE,
)
from turbomode_assets.config.file_names import (
    SCHEDULER_FILE as SCHEDULER_FILE,
)
from turbomode_assets.config.file_names import (
    TRAINING_FILE as TRAINING_FILE,
)
from turbomode_assets.config.file_names import (
    VENDORS_FILE as VENDORS_FILE,
)
from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.config.section import ConfigurationFile, Section
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.upgrades import Keys, in_first_form, upgraded
from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import ConfigurationError, first_few

FILES: dict[str, type[ConfigurationFile]] = {
    TRAINING_FILE: TrainingConfig,
    SCHEDULER_FILE: SchedulerConfig,
    VENDORS_FILE: VendorsConfig,
    DATA_QUALITY_FILE: DataQualityConfig,
    BACKTEST_FILE: BacktestFile,
}

_SHAPING = (
    "data_sources",
    "feature_engineering",
    "triple_barrier",
    "regime_labeling",
    "rare_event_archive",
    "dynamic_archive_updates",
    "balanced_sampling",
    "error_replay_buffer",
    "regime_weighted_loss",
    "ensemble_config",
)

AnyFile = TypeVar("AnyFile", bound=ConfigurationFile)


def load_training_config(directory: Path) -> TrainingConfig:
    """Read the training configuration."""
    return _load(directory / TRAINING_FILE, TrainingConfig)


def load_scheduler_config(directory: Path) -> SchedulerConfig:
    """Read the schedules."""
    return _load(directory / SCHEDULER_FILE, SchedulerConfig)


def load_vendors_config(directory: Path) -> VendorsConfig:
    """Read the vendors' settings."""
    return _load(directory / VENDORS_FILE, VendorsConfig)


def load_data_quality_config(directory: Path) -> DataQualityConfig:
    """Read what market data must be like."""
    return _load(directory / DATA_QUALITY_FILE, DataQualityConfig)


def load_backtest_file(directory: Path) -> BacktestFile:
    """Read how stored predictions are traded."""
    return _load(directory / BACKTEST_FILE, BacktestFile)


def load_file(directory: Path, name: str) -> ConfigurationFile:
    """Read one of `FILES`."""
    return _load(directory / name, FILES[name])


def digest_of(section: Section) -> str:
    """Return the SHA-256 of a section's canonical JSON: the same rules, the same digest.

    It is over the rules as form 1 writes them: a file that nobody edited keeps its digest whatever
    keys came, went or were renamed since.
    """
    canonical = json.dumps(_rules_of(section), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _rules_of(section: Section) -> dict[str, Any]:
    """Plain data of a section as form 1 writes it."""
    content = section.model_dump(mode="json")
    kind = type(section)
    places = [(file, at) for file, model in FILES.items() for at in _places_of(kind, model)]
    if len(places) > 1:
        raise ValueError(
            f"{kind.__name__} lies in several places: take the digest of what holds it"
        )
    for file, place in places:
        return in_first_form(file, content, place)
    return content


def _places_of(kind: type[Section], model: type[Section]) -> list[Keys]:
    """Paths below a section at which sections of a kind lie."""
    if model is kind:
        return [()]
    return [
        (name, *below)
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for below in _places_of(kind, field.annotation)
    ]


def trial_digest(config: TrainingConfig) -> str:
    """Digest of what shapes a fitted model and the folds it is judged on.

    A change of anything else, of the gate or of a report, is no new trial.
    """
    rules = _rules_of(config)
    strategy = rules["validation_strategy"]
    shaping = {name: rules[name] for name in _SHAPING}
    shaping["walk_forward"] = strategy["walk_forward"]
    shaping["inner_validation_sessions"] = strategy["inner_validation_sessions"]
    shaping["seed"] = rules["training_orchestrator"]["seed"]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _load(path: Path, model: type[AnyFile]) -> AnyFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"configuration file cannot be read: {error}",
            where=str(path),
            fix="restore it, or point TURBOMODE_CONFIG_DIR at the folder that holds it",
        ) from error
    try:
        content = json.loads(
            text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant
        )
    except ValueError as error:
        raise ConfigurationError(
            f"not valid JSON: {error}", where=str(path), fix="correct the file's syntax"
        ) from error
    # The files may name their JSON Schema for editors; it is no setting.
    if isinstance(content, dict):
        content.pop("$schema", None)
        content = upgraded(path.name, content, where=str(path))
    try:
        # Strict, or "7" would pass for 7 and "yes" for true. Only JSON's own mode reads dates then.
        return model.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise ConfigurationError(_explain(error), where=str(path), fix=_remedy(error)) from error


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if repeated := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"key given twice: {first_few(sorted(repeated))}")
    return dict(pairs)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _explain(error: ValidationError) -> str:
    complaints = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(whole file)"
        given = "" if detail["type"] in ("missing", "value_error") else f", got {detail['input']!r}"
        message = detail["msg"].removeprefix("Value error, ")
        complaints.append(f"{key}: {message}{given}")
    return first_few(complaints)


def _remedy(error: ValidationError) -> str:
    kinds = {detail["type"] for detail in error.errors()}
    if kinds == {"extra_forbidden"}:
        return "remove the unknown key or correct its spelling"
    if kinds == {"missing"}:
        return "add the missing key"
    if kinds == {"value_error"}:
        return "change the values so that the rule holds"
    return "correct the value; the JSON Schema beside the file states types and bounds"
