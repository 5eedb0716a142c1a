from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.keras_file import EPOCH, canonical, from_bytes, to_bytes

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


def small_model(seed: int = 0, rate: float = 0.1) -> keras.Model:
    """A model with a nested one, and with an object that two layers share, as saved addresses would show."""
    keras.utils.clear_session()
    initializer = keras.initializers.GlorotUniform(seed=seed)
    inner_in = keras.Input((4,), name="inner_in")
    inner_out = keras.layers.Dense(3, kernel_initializer=initializer, name="inner_dense")(inner_in)
    inner = keras.Model(inner_in, inner_out, name="inner")
    values = keras.Input((4,), name="values")
    out = keras.layers.Dense(2, "softmax", kernel_initializer=initializer, name="out")(inner(values))
    return keras.Model(values, keras.layers.Dropout(rate, name="dropout")(out), name="small")


def entries(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def predictions(model: keras.Model) -> np.ndarray:
    return np.asarray(model(X, training=False))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets an hour pass."""
    real = time.localtime

    def pass_an_hour() -> None:
        monkeypatch.setattr(time, "localtime", lambda *moment: real(*moment or (time.time() + 3600,)))

    return pass_an_hour


def test_two_saves_of_a_model_and_a_model_built_again_have_the_same_bytes(later: Callable[[], None]):
    model = small_model()
    first = to_bytes(model)
    later()
    assert to_bytes(model) == first
    assert to_bytes(small_model()) == first


def test_another_weight_and_another_setting_give_other_bytes():
    assert len({to_bytes(small_model()), to_bytes(small_model(seed=1)), to_bytes(small_model(rate=0.2))}) == 3


def test_the_file_says_nothing_of_when_it_was_saved(tmp_path):
    model = small_model()
    model.save(tmp_path / "model.keras")
    assert "date_saved" in json.loads(entries((tmp_path / "model.keras").read_bytes())["metadata.json"])
    body = to_bytes(model)
    metadata = json.loads(entries(body)["metadata.json"])
    assert set(metadata) == {"keras_version"}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {EPOCH}


def test_a_canonical_file_stays_as_it_is():
    body = to_bytes(small_model())
    assert canonical(body) == body


def test_objects_are_numbered_in_the_order_in_which_they_appear():
    def file_of(*addresses: int) -> bytes:
        sink = io.BytesIO()
        layers = [{"name": str(index), "shared_object_id": address} for index, address in enumerate(addresses)]
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("config.json", json.dumps({"layers": layers}))
        return sink.getvalue()

    body = canonical(file_of(140_001, 140_777, 140_001))
    numbered = [layer["shared_object_id"] for layer in json.loads(entries(body)["config.json"])["layers"]]
    assert numbered == [0, 1, 0]
    assert canonical(file_of(9, 5, 9)) == body
    assert canonical(file_of(9, 5, 5)) != body


def test_a_model_comes_back_with_the_same_predictions():
    model = small_model()
    assert np.array_equal(predictions(from_bytes(to_bytes(model))), predictions(model))


def test_code_inside_a_file_is_refused(tmp_path):
    values = keras.Input((4,))
    unsafe = keras.Model(values, keras.layers.Lambda(lambda it: it * 2)(values))
    unsafe.save(tmp_path / "model.keras")
    body = (tmp_path / "model.keras").read_bytes()
    for one in (body, canonical(body)):
        with pytest.raises(
            ArtifactIntegrityError, match="s3://b/k: expected a Keras model that loads in safe mode.*Lambda"
        ):
            from_bytes(one, "s3://b/k")


@pytest.mark.parametrize("body", [b"", b"no archive"])
def test_bytes_that_are_no_model_are_refused(body: bytes):
    with pytest.raises(ArtifactIntegrityError, match="expected a Keras model"):
        from_bytes(body)
