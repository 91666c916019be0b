"""What names a training run's model: digests of all that it is made from and with."""

from dataclasses import dataclass

from turbomode_assets.config.loader import digest_of
from turbomode_assets.ensemble import StepResults, TrainingSet, ensemble_version
from turbomode_assets.ensemble.code import environment
from turbomode_assets.modelling.feature_sets import present_feature_set


@dataclass(frozen=True)
class Identity:
    """A model's version, and the digests behind it."""

    model_version: str
    config_digest: str
    feature_digest: str
    data_digest: str
    environment: dict[str, str]


def identify(results: StepResults) -> Identity:
    """Name the model of a training run whose rows are complete."""
    training_set, rules = results.get(TrainingSet), results.config
    made_with = environment(rules.feature_engineering.device)
    config, features, rows = (
        digest_of(rules),
        present_feature_set(rules).digest,
        training_set.digest,
    )
    version = ensemble_version(
        training_set.as_of,
        config_digest=config,
        feature_digest=features,
        seed=rules.training_orchestrator.seed,
        data_digest=rows,
        made_with=made_with,
    )
    return Identity(version, config, features, rows, made_with)
