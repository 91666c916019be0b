"""Pictures (PNG bytes), small Markdown tables and lines of a terminal, for people to read."""

from typing import TYPE_CHECKING

from turbomode_assets.contracts.lazy import lazy_names

if TYPE_CHECKING:
    from turbomode_assets.reports.backtest import backtest_picture as backtest_picture
    from turbomode_assets.reports.completeness import coverage_heatmap as coverage_heatmap
    from turbomode_assets.reports.ledger_pictures import age_picture as age_picture
    from turbomode_assets.reports.ledger_pictures import reason_breakdown as reason_breakdown
    from turbomode_assets.reports.markdown import preview_markdown as preview_markdown
    from turbomode_assets.reports.markdown import signal_table as signal_table
    from turbomode_assets.reports.market import close_and_volume_picture as close_and_volume_picture
    from turbomode_assets.reports.market import coverage_picture as coverage_picture
    from turbomode_assets.reports.models import calibration_picture as calibration_picture
    from turbomode_assets.reports.models import label_balance_picture as label_balance_picture
    from turbomode_assets.reports.status import status_lines as status_lines
    from turbomode_assets.reports.table_months import month_table_heatmap as month_table_heatmap
    from turbomode_assets.reports.training import ablation_picture as ablation_picture
    from turbomode_assets.reports.training import importance_picture as importance_picture
    from turbomode_assets.reports.training import learning_curves_picture as learning_curves_picture
    from turbomode_assets.reports.training import (
        regime_confusion_picture as regime_confusion_picture,
    )

__getattr__ = lazy_names(
    __name__,
    {
        "backtest": ("backtest_picture",),
        "completeness": ("coverage_heatmap",),
        "ledger_pictures": (
            "age_picture",
            "reason_breakdown",
        ),
        "markdown": (
            "preview_markdown",
            "signal_table",
        ),
        "market": (
            "close_and_volume_picture",
            "coverage_picture",
        ),
        "models": (
            "calibration_picture",
            "label_balance_picture",
        ),
        "status": ("status_lines",),
        "table_months": ("month_table_heatmap",),
        "training": (
            "ablation_picture",
            "importance_picture",
            "learning_curves_picture",
            "regime_confusion_picture",
        ),
    },
)
