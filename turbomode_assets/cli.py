"""The `turbomode` command: what Dagster's own command line does not do."""

import datetime as dt
import logging
import time
import uuid
from pathlib import Path

import click
import dagster as dg
import polars as pl
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from dotenv import load_dotenv
from rich.console import Console
from rich.table import Table

from turbomode_assets.config.loader import FILES, digest_of, load_file
from turbomode_assets.config.schemas import json_schema, schema_file
from turbomode_assets.contracts.errors import ConfigurationError, MissingDataError, TurbomodeError
from turbomode_assets.definitions import build
from turbomode_assets.features import describe_features, feature_names, feature_set_digest
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session, session_of
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.signal_book import active_signals

DEMO_LAST_SESSION = dt.date(2017, 11, 10)
DEMO_NIGHTS = 5
"""The demo's last sessions run one by one, as nights do; all before them as one range."""


class ExplainedGroup(click.Group):
    """Prints refusals as their three lines instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        """Run the command; a refusal exits with 1."""
        try:
            return super().invoke(context)
        except TurbomodeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=ExplainedGroup)
def main() -> None:
    """Raw market data to trading signals that can be trusted and explained."""
    load_dotenv(Path.cwd() / ".env")


@main.command()
def demo() -> None:
    """Run the whole graph on a simulated market and print tonight's signals."""
    console, started = Console(), time.perf_counter()
    settings = SettingsResource()
    vendors = settings.vendors()
    if vendors.precedence != ["simulated"]:
        raise ConfigurationError(
            f"the demo runs on the simulated market; the vendors are {vendors.precedence}",
            where=str(settings.configs / "vendors.json"),
            fix='set precedence to ["simulated"], or materialize your own data as the README says',
        )
    definitions = build(settings)
    last = DEMO_LAST_SESSION
    trained = offset_session(last, -DEMO_NIGHTS)
    history = SessionSpan(session_of(vendors.simulated.first_session), trained)
    with dg.DagsterInstance.get() as instance:
        runner = _Runner(definitions, instance, console)
        console.rule(f"history {history} as one range (vendor=simulated)")
        runner.run("history", history)
        console.rule(f"training as of {trained}")
        runner.run("train", SessionSpan(trained, trained))
        for session in SessionSpan(offset_session(trained, 1), last).sessions:
            console.rule(f"night of {session}")
            runner.run("nightly", SessionSpan(session, session))
    _print_signals(console, settings)
    _print_stores(console, settings)
    console.print(f"The demo took {time.perf_counter() - started:.0f} s. Open the UI: make ui")


@main.command()
def signals() -> None:
    """Print the newest signals of the tenant."""
    _print_signals(Console(), SettingsResource())


@main.group()
def config() -> None:
    """Check the configuration files, or write their JSON Schemas."""


@config.command("check")
def config_check() -> None:
    """Load every configuration file and print its version and digest."""
    folder = SettingsResource().configs
    for name in FILES:
        section = load_file(folder, name)
        click.echo(f"{name}: version {section.version}, digest {digest_of(section)[:12]}")


@config.command("schemas")
def config_schemas() -> None:
    """Write the JSON Schema of every configuration file beside it."""
    folder = SettingsResource().configs
    for name, model in FILES.items():
        path = folder / schema_file(name)
        path.write_text(json_schema(model), encoding="utf-8")
        click.echo(f"wrote {path}")


@main.group()
def features() -> None:
    """Look at the feature set."""


@features.command("list")
def features_list() -> None:
    """Print every feature: name, family, window, inputs, formula, source."""
    click.echo(f"{len(feature_names())} features, set {feature_set_digest()[:12]}")
    for row in describe_features().iter_rows(named=True):
        click.echo(
            f"{row['name']:<18}{row['family']:<18}{row['window']:>4} bars  "
            f"{', '.join(row['inputs'])}\n    {row['formula']}\n    {row['source']}"
        )


class _Runner:
    """Runs jobs in this process and tells what happens, step by step."""

    def __init__(
        self, definitions: dg.Definitions, instance: dg.DagsterInstance, console: Console
    ) -> None:
        self._definitions = definitions
        self._instance = instance
        self._console = console
        self._started: dict[str, float] = {}

    def run(self, job: str, span: SessionSpan) -> None:
        """Run a job for a span; a failure ends the command with the step's own explanation."""
        run_id = str(uuid.uuid4())
        self._instance.add_event_listener(run_id, self._tell)
        result = self._definitions.resolve_job_def(job).execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=self._instance,
            run_id=run_id,
            tags={
                ASSET_PARTITION_RANGE_START_TAG: str(span.first),
                ASSET_PARTITION_RANGE_END_TAG: str(span.last),
            },
            raise_on_error=False,
        )
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
            self._console.print(error.message if error else "", markup=False)


def _print_signals(console: Console, settings: SettingsResource) -> None:
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    newest = active_signals(memory) if memory.exists() else pl.DataFrame()
    if newest.is_empty():
        raise MissingDataError(
            "there are no signals yet",
            where=str(settings.memory_path),
            fix="run `make demo`, or materialize the graph as the README says",
        )
    first = newest.row(0, named=True)
    table = Table(title=f"Signals of {first['session']}, vendor={first['vendor']}")
    for heading in ("symbol", "signal", "P(sell)", "P(hold)", "P(buy)", "model"):
        table.add_column(heading, justify="right" if heading.startswith("P") else "left")
    for row in newest.iter_rows(named=True):
        shares = [f"{row[name]:.3f}" for name in ("p_sell", "p_hold", "p_buy")]
        table.add_row(row["symbol"], row["signal"], *shares, row["model_version"])
    console.print(table)


def _print_stores(console: Console, settings: SettingsResource) -> None:
    console.print("Stores")
    for name, path in (
        ("master", settings.master_root),
        ("lake", settings.lake_root),
        ("memory", settings.memory_path),
        ("artifacts", settings.artifacts_root),
    ):
        console.print(f"  {name:<10}{path}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
