"""What the nightly page tells of the runs of a real instance."""

import datetime as dt

import dagster as dg

from turbomode_assets.nightly.runs import SHOWN_RUNS, gather_runs
from turbomode_assets.orchestration.run_records import DagsterRunHistory

SESSION = dt.date(2024, 3, 5)
OF_SESSION = {"dagster/partition": str(SESSION)}


@dg.op(config_schema={"fails": bool})
def work(context):
    if context.op_config["fails"]:
        raise ValueError("refused")


@dg.job
def scanner():
    work()


@dg.job
def backfill():
    work()


def run(instance, job, *, fails):
    job.execute_in_process(
        {"ops": {"work": {"config": {"fails": fails}}}},
        instance=instance,
        tags=OF_SESSION,
        raise_on_error=False,
    )


def gather(instance):
    history = DagsterRunHistory(instance, ingests=True)
    return gather_runs(history, SESSION, dt.datetime.now(dt.UTC)).rows


def unrepaired_failures(rows):
    return [run for run in rows if run.left_undone is not None]


def test_a_failure_is_told_however_many_runs_came_after_it_until_one_makes_it_good():
    with dg.instance_for_test() as instance:
        run(instance, scanner, fails=True)
        for _ in range(SHOWN_RUNS + 2):
            run(instance, backfill, fails=False)
        rows = gather(instance)
        assert len(rows) == SHOWN_RUNS + 1
        (failed,) = unrepaired_failures(rows)
        assert (failed.job, failed.covers_session) == ("scanner", True)
        assert "refused" in failed.failure
        run(instance, scanner, fails=False)
        rows = gather(instance)
        assert len(rows) == SHOWN_RUNS
        assert unrepaired_failures(rows) == []
