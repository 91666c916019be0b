"""The eight base models: arrays in, probabilities out.

They read no data, choose no split, name no file by the clock. `base_models` makes all eight,
`load_base_models` reads all eight back.
"""

from turbomode_assets.models.adapter import (
    BaseModel,
    HeldOut,
    Labels,
    NotFittedError,
    Probabilities,
    Weights,
)
from turbomode_assets.models.matrix import Matrix, Panel, matrix_from_frame
from turbomode_assets.models.registry import base_models, load_base_models, look_back_sessions

__all__ = [
    "BaseModel",
    "HeldOut",
    "Labels",
    "Matrix",
    "NotFittedError",
    "Panel",
    "Probabilities",
    "Weights",
    "base_models",
    "load_base_models",
    "look_back_sessions",
    "matrix_from_frame",
]
