from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from include.retraining.embedding.extractors.devices import Device, prepare_devices

REPOSITORY = Path(__file__).parents[5]
GPUS = [
    tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU"),
    tf.config.PhysicalDevice("/physical_device:GPU:1", "GPU"),
]


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the GPUs whose memory grows; there are two GPUs."""
    names: list[str] = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: GPUS if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "NVIDIA H100"})
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, enable: names.append(gpu.name) if enable else None
    )
    return names


def test_memory_grows_on_every_visible_gpu(grown: list[str]):
    device = prepare_devices()

    assert device == Device("gpu", "NVIDIA H100", 2)
    assert str(device) == "gpu NVIDIA H100"
    assert grown == [gpu.name for gpu in GPUS]


@pytest.mark.parametrize("error", [RuntimeError("it was initialized"), ValueError("it has virtual devices")])
def test_a_gpu_that_is_in_use_already_is_left_as_it_is(
    error: Exception, grown: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(gpu: tf.config.PhysicalDevice, enable: bool) -> None:
        raise error

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)

    with caplog.at_level(logging.WARNING):
        device = prepare_devices()

    assert device.kind == "gpu"
    assert "memory growth stays as it is on /physical_device:GPU:0" in caplog.text


def test_a_worker_without_an_accelerator_computes_on_its_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])

    assert prepare_devices() == prepare_devices()
    assert prepare_devices().kind == "cpu"


SHARING = """
import tensorflow as tf
from include.retraining.embedding.extractors.devices import share_cores
if {started}:
    tf.constant(1)
share_cores(10**6)
share_cores(10**6)
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize(("started", "threads"), [(False, "1"), (True, "0")])
def test_calls_share_the_cores_where_tensorflow_has_not_started_yet(started: bool, threads: str):
    code = SHARING.format(started=started)

    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert ran.stdout.split() == [threads]  # 0: all of them
