"""Running jobs of the graph in this process, told step by step."""

import logging
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import click
import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from rich.console import Console

from turbomode_assets.orchestration.automation.command_runs import command_tags, held_run
from turbomode_assets.orchestration.run_records import reason_of
from turbomode_assets.runs.last_look import forget_look
from turbomode_assets.sessions import SessionSpan


class Runner:
    """Runs jobs in this process and tells what happens, step by step."""

    def __init__(
        self, definitions: dg.Definitions, instance: dg.DagsterInstance, console: Console
    ) -> None:
        self._definitions = definitions
        self._instance = instance
        self._console = console
        self._started: dict[str, float] = {}

    def run(
        self, job: str, span: SessionSpan | None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Run a job for a span; a failure ends the command with the step's own explanation."""
        run_id = str(uuid.uuid4())
        self._instance.add_event_listener(run_id, self._tell)
        with held_run(self._instance, run_id):
            result = self._definitions.resolve_job_def(job).execute_in_process(
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                instance=self._instance,
                run_id=run_id,
                tags={**_range_tags(span), **command_tags(), **(tags or {})},
                raise_on_error=False,
            )
        forget_look(Path(self._instance.root_directory))
        if not result.success:
            raise click.ClickException(f"job {job} failed for {span}; the reason stands above")

    def _tell(self, event: dg.EventLogEntry) -> None:
        step, happened = event.step_key, event.dagster_event
        if happened is None:
            if int(event.level) >= logging.INFO:
                self._console.print(
                    f"    {event.user_message}", style="dim", highlight=False, soft_wrap=True
                )
        elif step and happened.is_step_start:
            self._started[step] = time.perf_counter()
        elif step and happened.is_step_success:
            seconds = time.perf_counter() - self._started[step]
            self._console.print(f"  {step:<18} {seconds:6.1f} s")
        elif step and happened.is_step_failure:
            error = happened.step_failure_data.error
            self._console.print(f"  {step} failed", style="bold red")
            self._console.print(reason_of(error) if error else "", markup=False, soft_wrap=True)


def _range_tags(span: SessionSpan | None) -> dict[str, str]:
    if span is None:
        return {}
    return {
        ASSET_PARTITION_RANGE_START_TAG: str(span.first),
        ASSET_PARTITION_RANGE_END_TAG: str(span.last),
    }
