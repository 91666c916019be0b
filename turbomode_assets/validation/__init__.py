"""Splits that cannot leak, and the numbers a model is judged by."""

from turbomode_assets.validation.metrics import class_shares, classification_report
from turbomode_assets.validation.walk_forward import Fold, walk_forward_folds

__all__ = ["Fold", "class_shares", "classification_report", "walk_forward_folds"]
