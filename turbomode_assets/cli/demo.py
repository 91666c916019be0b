"""`turbomode demo`: the whole graph on a simulated market."""

import datetime as dt
import time

import click
import dagster as dg
from rich.console import Console

from turbomode_assets.cli.printing import print_decision, print_signals, print_stores
from turbomode_assets.cli.running import Runner
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.ingestion.following import require_ingestion
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session, session_of

DEMO_LAST_SESSION = dt.date(2017, 11, 10)
DEMO_NIGHTS = 5
"""The demo's last sessions run one by one, as nights do; all before them as one range."""


@click.command()
def demo() -> None:
    """Run the whole graph on a simulated market and print tonight's signals."""
    console, started = Console(), time.perf_counter()
    settings = SettingsResource()
    require_ingestion(settings, "the demo")
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
        runner = Runner(definitions, instance, console)
        console.rule(f"history {history} as one range (vendor=simulated)")
        runner.run("ingestion", history)
        console.rule(f"training as of {trained}")
        runner.run("train", SessionSpan(trained, trained))
        print_decision(console, settings)
        for session in SessionSpan(offset_session(trained, 1), last).sessions:
            console.rule(f"night of {session}")
            runner.run("nightly", SessionSpan(session, session))
    print_signals(console, settings)
    print_stores(console, settings)
    console.print(f"The demo took {time.perf_counter() - started:.0f} s. Open the UI: make ui")
