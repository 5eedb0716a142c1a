"""What the recipe says of the way from an image to its vector."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from include.retraining.config.image_data_generator import find_mistake
from include.retraining.config.section import Section

ExtractorName = Literal[
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "resnet50",
    "resnet50_v2",
    "inception_v3",
    "xception",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "convnext_tiny",
    "densenet121",
    "vgg16",
]
EXTRACTOR_NAMES: tuple[str, ...] = get_args(ExtractorName)

Pooling = Literal["average", "max", "flatten"]
Precision = Literal["float32", "mixed"]
Runtime = Literal["tensorflow", "openvino"]
StoredType = Literal["float32", "float16"]


class KerasAugmentation(Section):
    """Random changes by Keras's preprocessing layers. What is 0 or false is left out."""

    engine: Literal["keras"] = "keras"
    seed: int = Field(0, ge=0, description="With the image's id and the number of the view it seeds each change.")
    horizontal_flip: bool = Field(True, description="Mirror half of the views left to right.")
    vertical_flip: bool = Field(False, description="Mirror half of the views upside down.")
    rotation_degrees: float = Field(10.0, ge=0, le=180, description="Most degrees of rotation, either way.")
    shift: float = Field(0.1, ge=0, lt=1, description="Largest shift, as a share of height and width.")
    zoom: float = Field(0.1, ge=0, lt=1, description="Largest change of scale.")
    brightness: float = Field(0.0, ge=0, le=1, description="Largest change of brightness, as a share of its range.")
    contrast: float = Field(0.0, ge=0, lt=1, description="Largest change of contrast.")


class ImageDataGeneratorAugmentation(Section):
    """Random changes by Keras's deprecated `ImageDataGenerator`, for those who come from it."""

    engine: Literal["image_data_generator"]
    seed: int = Field(0, ge=0, description="With the image's id and the number of the view it seeds each change.")
    arguments: dict[str, Any] = Field(description="Arguments of ImageDataGenerator, such as `rotation_range: 15`.")

    @field_validator("arguments")
    @classmethod
    def _can_be_used_here(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        mistake = find_mistake(arguments)
        if mistake:
            raise ValueError(mistake)
        return arguments


Augmentation = Annotated[KerasAugmentation | ImageDataGeneratorAugmentation, Field(discriminator="engine")]


class EmbeddingConfig(Section):
    """How an image becomes a vector."""

    extractor: ExtractorName = Field("efficientnet_lite0", description="Pre-trained network.")
    weights: str = Field(
        "imagenet",
        description="`imagenet`; `none`: a random start; else a .weights.h5 or .h5 file, s3://bucket/key or a path.",
    )
    weights_sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Of the file of weights; required where `weights` names one."
    )
    image_size: int = Field(96, ge=32, le=600, description="Side in pixels that images are resized to.")
    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Layers whose pooled outputs are concatenated, in this order; null: the extractor's own.",
    )
    pooling: Pooling = Field("average", description="How a layer's feature map becomes numbers; flatten keeps all.")
    normalisation: Literal["none", "l2"] = Field("none", description="`l2`: every vector has length 1.")
    pca: int | None = Field(
        None, ge=1, description="Components to keep, fitted on the train vectors alone; null: no PCA."
    )
    precision: Precision = Field("float32", description="`mixed`: float16 inside the network, where it is safe.")
    runtime: Runtime = Field("tensorflow", description="What runs the network on workers without an accelerator.")
    stored_as: StoredType = Field("float32", description="Type of stored vectors; float16 takes half of the bytes.")
    views: int = Field(0, ge=0, le=16, description="Augmented views of each train image, beside the image itself.")
    augmentation: Augmentation = Field(KerasAugmentation(), description="How views are made.")
    shard_images: int = Field(2000, ge=1, description="Images that one mapped task embeds.")
    batch_size: int = Field(64, ge=1, description="Images in one call of the network.")

    @property
    def has_weights_file(self) -> bool:
        """Whether the weights come from a file that the recipe names."""
        return self.weights not in ("imagenet", "none")

    @field_validator("layers")
    @classmethod
    def _layers_are_distinct(cls, layers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        repeated = sorted({name for name in layers or () if (layers or ()).count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is named more than once; name every layer once")
        return layers

    @field_validator("augmentation", mode="before")
    @classmethod
    def _keras_is_the_engine_unless_another_is_named(cls, augmentation: object) -> object:
        return {"engine": "keras", **augmentation} if isinstance(augmentation, dict) else augmentation

    @model_validator(mode="after")
    def _a_file_of_weights_has_a_digest(self) -> EmbeddingConfig:
        if self.has_weights_file and self.weights_sha256 is None:
            raise ValueError("weights names a file, so weights_sha256 is required: sha256sum prints it")
        if not self.has_weights_file and self.weights_sha256 is not None:
            raise ValueError(f"weights_sha256 belongs to a file of weights, and weights is {self.weights!r}")
        return self
