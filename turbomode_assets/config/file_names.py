"""Names of the configuration files."""

TRAINING_FILE = "turbomode_training_config.json"
SCHEDULER_FILE = "scheduler_config.json"
VENDORS_FILE = "vendors.json"
DATA_QUALITY_FILE = "data_quality_config.json"
BACKTEST_FILE = "backtest_config.json"
