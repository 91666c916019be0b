"""The operations store: vendor budgets, leases, the backfill queue, and what was fetched when."""

from turbomode_assets.stores.operations.budgets import BudgetUse, RationedBudget
from turbomode_assets.stores.operations.queue import QUEUE_SCHEMA, WORK_KEY, NewWork, WorkKey
from turbomode_assets.stores.operations.store import Operations, utc_now

__all__ = [
    "QUEUE_SCHEMA",
    "WORK_KEY",
    "BudgetUse",
    "NewWork",
    "Operations",
    "RationedBudget",
    "WorkKey",
    "utc_now",
]
