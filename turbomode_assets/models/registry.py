"""The eight base models by name, in the order the meta-learner reads them."""

from pathlib import Path

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.contracts.devices import Device
from turbomode_assets.models.adapter import BaseModel
from turbomode_assets.models.gru import Gru
from turbomode_assets.models.lightgbm_dart import LightGbmDart
from turbomode_assets.models.lightgbm_forest import LightGbmForest
from turbomode_assets.models.lightgbm_gbdt import LightGbmGbdt
from turbomode_assets.models.lightgbm_goss import LightGbmGoss
from turbomode_assets.models.logistic import Logistic
from turbomode_assets.models.mlp import Mlp
from turbomode_assets.models.tcn import Tcn


def base_models(config: ModelsConfig, device: Device = "cpu") -> dict[str, BaseModel]:
    """Return the eight models, not yet fitted; the networks among them train on the device.

    Raises:
        InputError: CUDA is asked for, and torch sees no CUDA device.
    """
    models: tuple[BaseModel, ...] = (
        LightGbmGbdt(config.lightgbm_gbdt),
        LightGbmDart(config.lightgbm_dart),
        LightGbmGoss(config.lightgbm_goss),
        LightGbmForest(config.lightgbm_forest),
        Logistic(config.logistic, device),
        Mlp(config.mlp, device),
        Gru(config.gru, device),
        Tcn(config.tcn, device),
    )
    return {model.name: model for model in models}


def load_base_models(directory: Path, config: ModelsConfig) -> dict[str, BaseModel]:
    """Read the eight models, each from the folder of its name."""
    models: tuple[BaseModel, ...] = (
        LightGbmGbdt.load(directory / LightGbmGbdt.name, config.lightgbm_gbdt),
        LightGbmDart.load(directory / LightGbmDart.name, config.lightgbm_dart),
        LightGbmGoss.load(directory / LightGbmGoss.name, config.lightgbm_goss),
        LightGbmForest.load(directory / LightGbmForest.name, config.lightgbm_forest),
        Logistic.load(directory / Logistic.name, config.logistic),
        Mlp.load(directory / Mlp.name, config.mlp),
        Gru.load(directory / Gru.name, config.gru),
        Tcn.load(directory / Tcn.name, config.tcn),
    )
    return {model.name: model for model in models}


def look_back_sessions(config: ModelsConfig) -> int:
    """Sessions before a row's own that some model reads."""
    return max(config.gru.sequence_sessions, config.tcn.sequence_sessions) - 1
