"""From features and labels to one ensemble, measured out of sample, and its files.

Order of work: `assemble_training_set`, `train_ensemble`, `Ensemble.save`; later `load_ensemble`,
`prediction_matrix`, `Ensemble.predict_proba`.
"""

from turbomode_assets.ensemble.artefact import Ensemble, ensemble_version, load_ensemble
from turbomode_assets.ensemble.meta_learner import MetaLearner
from turbomode_assets.ensemble.prediction import prediction_matrix
from turbomode_assets.ensemble.training import train_ensemble
from turbomode_assets.ensemble.training_set import TrainingSet, assemble_training_set

__all__ = [
    "Ensemble",
    "MetaLearner",
    "TrainingSet",
    "assemble_training_set",
    "ensemble_version",
    "load_ensemble",
    "prediction_matrix",
    "train_ensemble",
]
