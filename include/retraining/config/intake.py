"""What the recipe says of deliveries and their images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from include.retraining.config.section import Section

Handling = Literal["convert", "quarantine"]


class ImagePolicy(Section):
    """What an image must be to be taken in; whatever breaks it is quarantined.

    The limits of bytes, sides and pixels are looked at before anything is decoded.
    """

    formats: tuple[str, ...] = Field(("PNG", "JPEG"), min_length=1, description="Image formats, as Pillow names them.")
    maximum_bytes: int = Field(20_000_000, ge=1, description="Largest object; larger ones are not fetched.")
    minimum_side_pixels: int = Field(8, ge=1, description="Smallest width and height.")
    maximum_side_pixels: int = Field(8192, ge=1, description="Largest width and height.")
    maximum_pixels: int = Field(
        50_000_000, ge=1, le=178_956_970, description="Largest width × height; Pillow decodes no more than the bound."
    )
    maximum_aspect_ratio: float = Field(10.0, ge=1, description="Longer side over shorter side.")
    grey: Handling = Field("convert", description="One channel of 8 bits or 1 bit: repeated for red, green, blue.")
    palette: Handling = Field("convert", description="Palette: each index becomes its colour.")
    alpha: Handling = Field("convert", description="Transparency: composited on white.")
    sixteen_bit: Handling = Field(
        "convert", description="16 bits: grey is divided by 257 and rounded, of colours the upper 8 bits stay."
    )
    cmyk: Handling = Field("convert", description="CMYK: by Pillow's formula, without a colour profile.")
    animated: Handling = Field("quarantine", description="Several frames: the first one counts.")

    @model_validator(mode="after")
    def _sides_are_in_order(self) -> ImagePolicy:
        if self.minimum_side_pixels > self.maximum_side_pixels:
            raise ValueError("minimum_side_pixels must not be above maximum_side_pixels")
        return self


class IntakeConfig(Section):
    """When a day's delivery is complete, how it is worked on, and what its images must be."""

    complete_when: Literal["marker", "untouched"] = Field(
        "marker",
        description="'marker': once the object _READY is there. 'untouched': once no object changed for a while.",
    )
    untouched_minutes: int = Field(30, ge=1, description="That while; used with complete_when: untouched.")
    wait_minutes: int = Field(120, ge=0, description="How long the Dag waits for a delivery that has begun.")
    shard_images: int = Field(5000, ge=1, description="Images that one mapped task inspects.")
    images: ImagePolicy = ImagePolicy()
