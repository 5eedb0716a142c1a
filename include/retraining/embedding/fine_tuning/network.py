"""The network that is trained: the backbone, its first layers frozen, with a softmax layer on top."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from include.retraining.config import FineTuneConfig
from include.retraining.errors import ConfigurationError

ALL = "all"
_NAMED_AT_MOST = 60


def build_trained_network(
    backbone: keras.Model, config: FineTuneConfig, *, trained_from: str, n_classes: int, batches_per_epoch: int
) -> keras.Model:
    """Returns the compiled network; it shares its layers with the backbone, which is trained in place.

    The softmax layer stands on the average-pooled last feature map and starts at zero. AdamW decays kernels alone.

    Args:
        backbone: From pixels in [0, 255], shape `(n, size, size, 3)`, to a feature map.
        config: Epochs, step size, warm-up and weight decay.
        trained_from: First layer or block that is trained, or `all`.
        n_classes: Outputs.
        batches_per_epoch: Steps of an epoch.

    Raises:
        ConfigurationError: If the backbone has no such layer.

    References:
        Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization", algorithm 2 (AdamW, cosine).
    """
    _freeze(backbone, trained_from)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled_for_training")(backbone.output)
    classes = keras.layers.Dense(n_classes, "softmax", kernel_initializer="zeros", name="classes")(pooled)
    network = keras.Model(backbone.input, classes, name="fine_tuning")
    optimizer = _optimizer(network, config, batches_per_epoch)
    # Without jit_compile: XLA is an order of magnitude slower on CPUs.
    network.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    return network


def _freeze(backbone: keras.Model, trained_from: str) -> None:
    """Freezes the layers before the first that is trained; their batch normalisation then keeps its statistics."""
    first = _first_trained([layer.name for layer in backbone.layers], trained_from)
    # One by one: a functional model hands its own `trainable` on to no layer.
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= first


def _first_trained(names: Sequence[str], trained_from: str) -> int:
    """Returns the index of the first layer of a name, or of a block of that name: `block_3` begins at `block_3_…`."""
    if trained_from == ALL:
        return 0
    for index, name in enumerate(names):
        if name == trained_from or name.startswith(f"{trained_from}_"):
            return index
    raise ConfigurationError(
        "fine_tune.trained_from",
        f"the network has no layer {trained_from!r}",
        f"Write {ALL!r}, or a layer out of: {', '.join(names[:_NAMED_AT_MOST])}"
        + (", …" if len(names) > _NAMED_AT_MOST else ""),
    )


def _optimizer(network: keras.Model, config: FineTuneConfig, batches_per_epoch: int) -> keras.Optimizer:
    steps = config.epochs * batches_per_epoch
    # A warm-up that takes longer than half of the training is cut to that.
    warm_up = min(round(config.warm_up_epochs * batches_per_epoch), steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else config.learning_rate,
        steps - warm_up,
        warmup_target=config.learning_rate if warm_up else None,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_list=[it for it in network.trainable_variables if len(it.shape) < 2])
    optimizer.build(network.trainable_variables)  # its state must be there before a checkpoint is put into it
    return optimizer
