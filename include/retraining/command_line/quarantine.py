"""`quarantine` and `release`: which images of a day were refused, and how corrected ones get back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from include.retraining.command_line.output import print_json, print_table
from include.retraining.config import ClassifierConfig
from include.retraining.storage.base import ObjectStore, uri_of

if TYPE_CHECKING:
    from include.retraining.intake.release import Release

# What reads tables is imported in the commands: all others would pay for it too.


def list_images(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Prints the quarantined images of a day with their reasons, or a file of corrections to edit."""
    from include.retraining.intake.corrections import corrections_to_edit
    from include.retraining.intake.names import shown_name
    from include.retraining.intake.quarantine import read_quarantine

    images = read_quarantine(store, config.name, arguments.day)
    if arguments.json:
        print_json(images)
    elif arguments.csv:
        sys.stdout.write(corrections_to_edit(images))
    elif images:
        rows = [
            (
                shown_name(image.image or image.key),
                shown_name(image.label),
                ", ".join(reason.code for reason in image.reasons),
                shown_name(image.related.rpartition("/")[2]),
            )
            for image in images
        ]
        title = f"Quarantined of {config.name}, delivered for {arguments.day}: {_images(len(images))}"
        print_table(title, ("image", "label", "reasons", "see"), rows)
    else:
        print(f"No image of {config.name} delivered for {arguments.day} is in quarantine.")
    return 0


def release(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Puts corrected images from a day's quarantine into a later delivery, all of them or none."""
    from include.retraining.intake.corrections import read_corrections
    from include.retraining.intake.release import plan_release, publish_release

    corrections = read_corrections(Path(arguments.corrections))
    planned = plan_release(store, config, corrections, day=arguments.day, to=arguments.to)
    if not arguments.dry_run:
        publish_release(store, planned)
    if arguments.json:
        print_json(
            {
                "released": not arguments.dry_run,
                "to": planned.to,
                "images": planned.images,
                "run_again": planned.is_marked_ready,
            }
        )
    else:
        _print(planned, store, dry_run=arguments.dry_run)
    return 0


def _print(planned: Release, store: ObjectStore, *, dry_run: bool) -> None:
    from include.retraining.intake.names import shown_name

    rows = [
        (shown_name(it.image or it.key), it.label, shown_name(it.group), it.split, it.is_replaced)
        for it in planned.images
    ]
    verb = "Would be released" if dry_run else "Released"
    title = f"{verb} from {planned.day} into the delivery of {planned.to}: {_images(len(rows))}"
    print_table(title, ("image", "label", "group", "split", "new bytes"), rows)
    for image in planned.images[:1]:
        print(f"They lie under {uri_of(store, image.released_key.rpartition('/')[0])}/")
    if planned.is_marked_ready:
        print(f"The delivery of {planned.to} is marked complete: if its window has been run, run it again.")
    else:
        print(f"They are taken in with the delivery of {planned.to}, when its window is run.")


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"
