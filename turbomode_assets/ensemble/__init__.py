"""From features and labels to one ensemble, measured out of sample, and its files.

Order of work: `assemble_training_set`, `plan_folds`, `learned_rows`, `fit_base_model`, `stack`,
`assemble_ensemble` (`train_ensemble` does all of these), `evaluate`, `judge_promotion`,
`Ensemble.save`; later `load_ensemble`, `prediction_matrix`, `Ensemble.predict_proba`.
"""

from typing import TYPE_CHECKING

from turbomode_assets.contracts.lazy import lazy_names

if TYPE_CHECKING:
    from turbomode_assets.ensemble.artefact import Ensemble as Ensemble
    from turbomode_assets.ensemble.artefact import ensemble_version as ensemble_version
    from turbomode_assets.ensemble.artefact import load_ensemble as load_ensemble
    from turbomode_assets.ensemble.calibration import Calibrator as Calibrator
    from turbomode_assets.ensemble.fitting import FittedModel as FittedModel
    from turbomode_assets.ensemble.fitting import combinatorial_paths as combinatorial_paths
    from turbomode_assets.ensemble.fitting import fit_base_model as fit_base_model
    from turbomode_assets.ensemble.folds import TrainingRows as TrainingRows
    from turbomode_assets.ensemble.folds import candidate_rows as candidate_rows
    from turbomode_assets.ensemble.folds import learned_rows as learned_rows
    from turbomode_assets.ensemble.folds import plan_folds as plan_folds
    from turbomode_assets.ensemble.meta_learner import MetaLearner as MetaLearner
    from turbomode_assets.ensemble.prediction import prediction_matrix as prediction_matrix
    from turbomode_assets.ensemble.run import train_ensemble as train_ensemble
    from turbomode_assets.ensemble.stacking import StackResult as StackResult
    from turbomode_assets.ensemble.stacking import stack as stack
    from turbomode_assets.ensemble.step_results import StepResults as StepResults
    from turbomode_assets.ensemble.training import assemble_ensemble as assemble_ensemble
    from turbomode_assets.ensemble.training_set import TrainingSet as TrainingSet
    from turbomode_assets.ensemble.training_set import (
        assemble_training_set as assemble_training_set,
    )

__getattr__ = lazy_names(
    __name__,
    {
        "artefact": (
            "Ensemble",
            "ensemble_version",
            "load_ensemble",
        ),
        "calibration": ("Calibrator",),
        "fitting": (
            "FittedModel",
            "combinatorial_paths",
            "fit_base_model",
        ),
        "folds": (
            "TrainingRows",
            "candidate_rows",
            "learned_rows",
            "plan_folds",
        ),
        "meta_learner": ("MetaLearner",),
        "prediction": ("prediction_matrix",),
        "run": ("train_ensemble",),
        "stacking": (
            "StackResult",
            "stack",
        ),
        "step_results": ("StepResults",),
        "training": ("assemble_ensemble",),
        "training_set": (
            "TrainingSet",
            "assemble_training_set",
        ),
    },
)
