"""The eight base models: arrays in, probabilities out.

They read no data, choose no split, name no file by the clock. `base_models` makes all eight,
`load_base_models` reads all eight back.
"""

from typing import TYPE_CHECKING

from turbomode_assets.contracts.lazy import lazy_names

if TYPE_CHECKING:
    from turbomode_assets.models.adapter import BaseModel as BaseModel
    from turbomode_assets.models.adapter import HeldOut as HeldOut
    from turbomode_assets.models.adapter import Labels as Labels
    from turbomode_assets.models.adapter import NotFittedError as NotFittedError
    from turbomode_assets.models.adapter import Probabilities as Probabilities
    from turbomode_assets.models.adapter import Weights as Weights
    from turbomode_assets.models.matrix import Matrix as Matrix
    from turbomode_assets.models.matrix import Panel as Panel
    from turbomode_assets.models.matrix import matrix_from_frame as matrix_from_frame
    from turbomode_assets.models.registry import base_models as base_models
    from turbomode_assets.models.registry import load_base_models as load_base_models
    from turbomode_assets.models.registry import look_back_sessions as look_back_sessions

__getattr__ = lazy_names(
    __name__,
    {
        "adapter": (
            "BaseModel",
            "HeldOut",
            "Labels",
            "NotFittedError",
            "Probabilities",
            "Weights",
        ),
        "matrix": (
            "Matrix",
            "Panel",
            "matrix_from_frame",
        ),
        "registry": (
            "base_models",
            "load_base_models",
            "look_back_sessions",
        ),
    },
)
