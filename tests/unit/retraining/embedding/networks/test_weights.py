from __future__ import annotations

import subprocess
import sys

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.weights import weights_of


def test_imagenet_weights_of_a_package_are_named_by_their_sha256():
    config = EmbeddingConfig(extractor="efficientnet_lite1")

    assert weights_of(config) == Weights("imagenet", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850")


def test_imagenet_weights_of_keras_are_named_by_their_file_and_its_pin():
    weights = weights_of(EmbeddingConfig(extractor="resnet50"))

    assert weights.source == "imagenet"
    assert weights.sha256 == ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5, 4d473c1dd8becc155b73f8504c6f6626")


def test_a_file_is_named_by_the_digest_of_the_recipe():
    config = EmbeddingConfig(weights="s3://lake/weights/mine.weights.h5", weights_sha256="ab" * 32)

    assert weights_of(config) == Weights("s3://lake/weights/mine.weights.h5", "ab" * 32)


def test_a_random_start_is_named_by_its_seed():
    assert weights_of(EmbeddingConfig(weights="none")) == Weights("none", "random, seed 0")


def test_naming_weights_loads_no_network():
    code = (
        "import sys; from include.retraining.config import EmbeddingConfig;"
        "from include.retraining.embedding.networks.architectures import check_image_size;"
        "from include.retraining.embedding.networks.weights import weights_of;"
        "weights_of(EmbeddingConfig(extractor='resnet50')); check_image_size(EmbeddingConfig());"
        "assert not {'keras', 'tensorflow', 'h5py'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
