from __future__ import annotations

import logging

import pytest
import tensorflow as tf

from include.retraining.embedding.extractors.devices import Device, prepare_devices

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
