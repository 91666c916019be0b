"""Pictures (PNG bytes) and small Markdown tables for the metadata of assets and checks."""

from turbomode_assets.reports.markdown import preview_markdown, signal_table
from turbomode_assets.reports.market import close_and_volume_picture, coverage_picture
from turbomode_assets.reports.models import (
    calibration_picture,
    confusion_picture,
    label_balance_picture,
    psi_picture,
)

__all__ = [
    "calibration_picture",
    "close_and_volume_picture",
    "confusion_picture",
    "coverage_picture",
    "label_balance_picture",
    "preview_markdown",
    "psi_picture",
    "signal_table",
]
