"""A look at the tasks in Dagster's own records, now."""

import dagster as dg

from turbomode_assets.orchestration.automation.command_runs import fail_dead_runs
from turbomode_assets.orchestration.automation.tasks import TaskPolicy, board_at, task_look
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.runs.last_look import TaskLook
from turbomode_assets.stores.operations import utc_now


def look_at_tasks() -> TaskLook:
    """See how every task stands; what commands have left unfinished is failed first."""
    settings = SettingsResource()
    policy = TaskPolicy(settings, utc_now)
    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)
        board = board_at(instance, settings.scheduler(), policy, utc_now())
        return task_look(instance, policy, board)
