"""Where networks are trained; CUDA tests run where a device is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from turbomode_assets.contracts.devices import choose_device
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.models import BaseModel, base_models, load_base_models
from turbomode_assets_tests.models.small import SMALL, small_data, small_split

MATRIX, LABELS, HELD_OUT = small_split(*small_data(seed=3))
UNSEEN, UNSEEN_LABELS = small_data(seed=4)
WEIGHTS = np.random.default_rng(0).uniform(0.2, 3, len(MATRIX))
NETWORKS = ("logistic", "mlp", "gru", "tcn")

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


def _fitted(device: str) -> dict[str, BaseModel]:
    return {
        name: model.fit(MATRIX, LABELS, seed=5, weights=WEIGHTS, held_out=HELD_OUT)
        for name, model in base_models(SMALL, device).items()
    }


@pytest.fixture(scope="module")
def on_cuda() -> dict[str, BaseModel]:
    return _fitted("cuda")


def _saved(models: dict[str, BaseModel], directory: Path) -> dict[str, bytes]:
    for name, model in models.items():
        (directory / name).mkdir(parents=True)
        model.save(directory / name)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_the_cpu_is_always_to_be_had_and_strange_devices_never():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="unknown device tpu"):
        choose_device("tpu")


@without_cuda
def test_without_a_device_auto_is_the_cpu_and_cuda_is_refused():
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        base_models(SMALL, "cuda")


@needs_cuda
def test_with_a_device_auto_takes_it():
    assert choose_device("auto").type == "cuda"


@needs_cuda
def test_the_same_seed_gives_the_same_bytes_on_cuda(on_cuda, tmp_path):
    torch.manual_seed(99)
    again = _fitted("cuda")
    assert _saved(on_cuda, tmp_path / "first") == _saved(again, tmp_path / "again")
    for name, model in on_cuda.items():
        assert model.learning_curve == again[name].learning_curve


@needs_cuda
def test_training_on_cuda_leaves_its_generator_as_it_was():
    before = torch.cuda.get_rng_state()
    base_models(SMALL, "cuda")["mlp"].fit(MATRIX, LABELS, seed=5)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@needs_cuda
def test_a_model_trained_on_cuda_predicts_on_the_cpu_as_loaded(on_cuda, tmp_path):
    _saved(on_cuda, tmp_path)
    for name, model in load_base_models(tmp_path, SMALL).items():
        assert np.array_equal(model.predict_proba(UNSEEN), on_cuda[name].predict_proba(UNSEEN))


@needs_cuda
@pytest.mark.parametrize("name", NETWORKS)
def test_cuda_and_the_cpu_learn_alike(on_cuda, name):
    on_cpu = base_models(SMALL)[name]
    on_cpu.fit(MATRIX, LABELS, seed=5, weights=WEIGHTS, held_out=HELD_OUT)
    forecasts = on_cpu.predict_proba(UNSEEN), on_cuda[name].predict_proba(UNSEEN)
    # The same optimum where there is one; elsewhere bfloat16 and other dropout, so loosely.
    assert np.abs(forecasts[0] - forecasts[1]).mean() < (1e-4 if name == "logistic" else 0.1)
    assert roc_auc_score(UNSEEN_LABELS == 2, forecasts[1][:, 2]) > 0.65
