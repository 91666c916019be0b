"""From features and labels to one ensemble, measured out of sample, and its files.

Order of work: `assemble_training_set`, `plan_folds`, `learned_rows`, `fit_base_model`, `stack`,
`assemble_ensemble` (`train_ensemble` does all of these), `evaluate`, `judge_promotion`,
`Ensemble.save`; later `load_ensemble`, `prediction_matrix`, `Ensemble.predict_proba`.
"""

from turbomode_assets.ensemble.artefact import Ensemble, ensemble_version, load_ensemble
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.fitting import FittedModel, combinatorial_paths, fit_base_model
from turbomode_assets.ensemble.folds import TrainingRows, candidate_rows, learned_rows, plan_folds
from turbomode_assets.ensemble.meta_learner import MetaLearner
from turbomode_assets.ensemble.prediction import prediction_matrix
from turbomode_assets.ensemble.run import train_ensemble
from turbomode_assets.ensemble.stacking import Stacked, stack
from turbomode_assets.ensemble.step_results import StepResults
from turbomode_assets.ensemble.training import assemble_ensemble
from turbomode_assets.ensemble.training_set import TrainingSet, assemble_training_set

__all__ = [
    "Calibrator",
    "Ensemble",
    "FittedModel",
    "MetaLearner",
    "Stacked",
    "StepResults",
    "TrainingRows",
    "TrainingSet",
    "assemble_ensemble",
    "assemble_training_set",
    "candidate_rows",
    "combinatorial_paths",
    "ensemble_version",
    "fit_base_model",
    "learned_rows",
    "load_ensemble",
    "plan_folds",
    "prediction_matrix",
    "stack",
    "train_ensemble",
]
