"""Ingestion workers that are killed, and that meet: real processes at a gateway."""

import random
import time

import pytest

from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader
from turbomode_assets_tests.faults.ib_ingestion import SPAN, ingest
from turbomode_assets_tests.faults.platforms import FORKSERVER, KILLED, LIBRARIES
from turbomode_assets_tests.vendors.ib_vendors import patient_gateway

KILLS = 50
PATIENCE_SECONDS = 120


def start(root, gateway, owner, span=SPAN):
    FORKSERVER.set_forkserver_preload(LIBRARIES)
    worker = FORKSERVER.Process(target=ingest, args=(root, gateway.port, owner, span), daemon=True)
    worker.start()
    return worker


def finish(worker):
    worker.join(PATIENCE_SECONDS)
    assert worker.exitcode == 0


def rows_of(root, table="candles"):
    stored = MasterReader(str(root / "master")).read(table, caller="test").rows
    return stored.drop("ingested_at" if table == "candles" else "knowledge_ts")


@pytest.fixture
def gateway():
    with patient_gateway() as gateway:
        yield gateway


@pytest.mark.slow
def test_a_store_whose_workers_were_killed_again_and_again_equals_an_undisturbed_one(
    tmp_path, gateway
):
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    finish(start(quiet, gateway, "quiet"))
    chance = random.Random(20240624)
    killed = 0
    while killed < KILLS:
        before = len(gateway.requests)
        worker = start(disturbed, gateway, f"worker-{killed}")
        # Some die before their first question, some after a few, some inside a commit; once the
        # store is full, those that find nothing to ask die of impatience.
        questions, impatience = chance.choice((0, 1, 1, 2, 3)), chance.uniform(0.5, 3)
        pause, deadline = chance.uniform(0, 0.25), time.monotonic() + impatience
        while len(gateway.requests) < before + questions and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(pause)
        worker.kill()
        worker.join()
        killed += worker.exitcode == KILLED
    finish(start(disturbed, gateway, "heir"))
    assert rows_of(disturbed).equals(rows_of(quiet))
    assert rows_of(disturbed, "data_quality_log").equals(rows_of(quiet, "data_quality_log"))
    asked = len(gateway.requests)
    finish(start(disturbed, gateway, "later"))
    assert len(gateway.requests) == asked


def test_two_worker_processes_on_overlapping_work_ask_each_question_once(tmp_path, gateway):
    sessions = SPAN.sessions
    spans = (SessionSpan(sessions[0], sessions[9]), SessionSpan(sessions[6], sessions[-1]))
    workers = [
        start(tmp_path / "shared", gateway, f"worker-{number}", span)
        for number, span in enumerate(spans)
    ]
    for worker in workers:
        finish(worker)
    asked = [request.identity for request in gateway.requests]
    assert len(asked) == len(set(asked))
    finish(start(tmp_path / "alone", gateway, "alone"))
    assert rows_of(tmp_path / "shared").equals(rows_of(tmp_path / "alone"))
