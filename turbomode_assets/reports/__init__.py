"""Pictures (PNG bytes), small Markdown tables and lines of a terminal, for people to read."""

from turbomode_assets.reports.backtest import backtest_picture
from turbomode_assets.reports.completeness import coverage_heatmap
from turbomode_assets.reports.ledger_counts import age_of_data, reason_counts
from turbomode_assets.reports.ledger_pictures import age_picture, reason_breakdown
from turbomode_assets.reports.markdown import preview_markdown, signal_table
from turbomode_assets.reports.market import close_and_volume_picture, coverage_picture
from turbomode_assets.reports.models import (
    calibration_picture,
    confusion_picture,
    label_balance_picture,
    psi_picture,
)
from turbomode_assets.reports.status import status_lines
from turbomode_assets.reports.table_months import month_table_heatmap
from turbomode_assets.reports.training import (
    ablation_picture,
    importance_picture,
    learning_curves_picture,
    regime_confusion_picture,
)

__all__ = [
    "ablation_picture",
    "age_of_data",
    "age_picture",
    "backtest_picture",
    "calibration_picture",
    "close_and_volume_picture",
    "confusion_picture",
    "coverage_heatmap",
    "coverage_picture",
    "importance_picture",
    "label_balance_picture",
    "learning_curves_picture",
    "month_table_heatmap",
    "preview_markdown",
    "psi_picture",
    "reason_breakdown",
    "reason_counts",
    "regime_confusion_picture",
    "signal_table",
    "status_lines",
]
