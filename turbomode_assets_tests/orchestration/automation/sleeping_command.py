"""A command that runs a session of the scanner, says so, and sleeps until it is killed."""

import datetime as dt
import sys
import time

import dagster as dg
from rich.console import Console

from turbomode_assets.cli.running import Runner
from turbomode_assets.orchestration.automation.command_runs import held_task
from turbomode_assets.sessions import SessionSpan


@dg.op
def sleep() -> None:
    print("running", flush=True)
    time.sleep(600)


@dg.job
def scanner() -> None:
    sleep()


def main(day: str) -> None:
    session = dt.date.fromisoformat(day)
    with dg.DagsterInstance.get() as instance, held_task(instance, "scanner"):
        runner = Runner(dg.Definitions(jobs=[scanner]), instance, Console(stderr=True))
        runner.run("scanner", SessionSpan(session, session))


if __name__ == "__main__":
    main(sys.argv[1])
