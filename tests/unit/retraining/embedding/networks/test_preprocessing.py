from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from include.retraining.embedding.networks.architectures import BGR, LITE, STANDARDISED, SYMMETRIC
from include.retraining.embedding.networks.preprocessing import preprocess

PIXELS = np.stack(np.meshgrid(*[np.linspace(0, 255, 16, dtype=np.float32)] * 2, [0.0, 31.5, 255.0], indexing="ij"), -1)
PIXELS = PIXELS.reshape(1, 16, 48, 3).astype(np.float32)


def preprocessing_model(preprocessing: str) -> keras.Model:
    pixels = keras.Input(PIXELS.shape[1:], dtype="float32")
    return keras.Model(pixels, preprocess(pixels, preprocessing))


# A rounding of float32 is 6e-8 of a value in [-3, 3], and 1.5e-5 of one in [-124, 152].
@pytest.mark.parametrize(
    ("preprocessing", "expected", "tolerance"),
    [
        (BGR, keras.applications.resnet50.preprocess_input, 0.0),
        (BGR, keras.applications.vgg16.preprocess_input, 0.0),
        (SYMMETRIC, keras.applications.resnet_v2.preprocess_input, 3e-7),
        (SYMMETRIC, keras.applications.inception_v3.preprocess_input, 3e-7),
        (SYMMETRIC, keras.applications.xception.preprocess_input, 3e-7),
        (SYMMETRIC, keras.applications.mobilenet_v2.preprocess_input, 3e-7),
        (STANDARDISED, keras.applications.densenet.preprocess_input, 1e-6),
        (LITE, lambda x: (x - 127) / 128, 3e-7),
    ],
)
def test_it_agrees_with_the_function_that_keras_has_for_it(
    preprocessing: str, expected: Callable[[np.ndarray], np.ndarray], tolerance: float
):
    result = np.asarray(preprocessing_model(preprocessing)(PIXELS))

    np.testing.assert_allclose(result, expected(PIXELS.copy()), rtol=0, atol=tolerance)


@pytest.mark.parametrize("preprocessing", [LITE, SYMMETRIC, STANDARDISED, BGR])
def test_it_reloads_in_safe_mode_and_holds_no_weights(preprocessing: str, tmp_path: Path):
    model = preprocessing_model(preprocessing)
    model.save(tmp_path / "model.keras")

    reloaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)

    assert model.weights == []
    np.testing.assert_array_equal(np.asarray(reloaded(PIXELS)), np.asarray(model(PIXELS)))
