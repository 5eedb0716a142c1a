"""What a model card says, section by section. Only what is known; its numbers are in `card_numbers.py`."""

from __future__ import annotations

from collections.abc import Iterator

from include.retraining.artifacts import Approval, Move, PromotionDecision, Retirement
from include.retraining.journal import JournalEntry
from include.retraining.registry import Version
from include.retraining.reporting.card_facts import CardFacts
from include.retraining.reporting.card_numbers import comparison_section, metrics_section, slices_section
from include.retraining.reporting.document import (
    Bullets,
    Code,
    Document,
    Facts,
    Listing,
    Paragraph,
    Part,
    Section,
    Table,
    Text,
)
from include.retraining.reporting.templating import count, moment

FEW_ROWS = 30
"""Images of a class below which a card warns: its recall is known to about ±0.18 where it is 0.5."""

MOST_REASONS = 2

LOADING = """import tensorflow as tf

model = tf.saved_model.load("saved_model")  # a copy of the folder in the version
serve = model.signatures["serve_bytes"]
with open("image.png", "rb") as file:
    answer = serve(images=tf.constant([file.read()]))
print(answer["labels"].numpy(), answer["probabilities"].numpy())"""


def document_of(facts: CardFacts) -> Document:
    """Composes the card of a version."""
    sections = (
        _about(facts),
        _use(facts),
        _training(facts),
        metrics_section(facts),
        slices_section(facts),
        comparison_section(facts),
        _limitations(facts),
        _lineage(facts),
        _loading(facts),
        _history(facts),
        _files(facts),
    )
    return Document(
        title=f"{facts.classifier} {facts.name}",
        lead=_state(facts),
        sections=tuple(section for section in sections if section is not None),
        foot=f"Made from the version, the records of the run that decided about it, and {facts.n_entries} entries of "
        "the journal. It is written anew when something happens to the version; the journal is what counts.",
    )


def _state(facts: CardFacts) -> str:
    """Returns what has become of the version, in a sentence."""
    moves = [entry.move for entry in facts.entries if entry.move is not None]
    if facts.is_champion:
        return "This version is in production."
    if any(entry.retirement is not None for entry in facts.entries):
        return "This version was retired: its files are removed, and it can never be in production again."
    if moves and moves[-1].incumbent == facts.name and moves[-1].kind == "rollback":
        return f"This version is not in production: it was rolled back to {moves[-1].resulting}."
    if moves:
        return f"This version is not in production any more; it was replaced by {moves[-1].resulting}."
    if facts.decision is None:
        return "This version was never in production; nothing was decided about it yet."
    verdict = "approved" if facts.decision.approved else "refused"
    return f"This version was never in production; the newest decision about it: {verdict}."


def _about(facts: CardFacts) -> Section:
    parts: list[Part] = []
    if facts.problems:
        parts += [Paragraph("Some of what this card should tell cannot be read:"), Bullets(facts.problems)]
    rows: list[tuple[str, Text]] = [("Classifier", facts.classifier), ("Version", Code(facts.name))]
    if facts.version is not None:
        candidate = facts.version.candidate
        rows += [
            ("Stored at", Code(facts.version.uri)),
            ("Content digest", Code(facts.version.manifest.digest)),
            ("Data up to", moment(facts.version.lineage.window_end)),
            ("What it is", f"an image network, the extractor, with a head trained on its vectors: {candidate.head}"),
            ("Size of the head", f"{count(candidate.n_parameters)} parameters"),
        ]
    parts.append(Facts(tuple(rows)))
    return Section("About the model", tuple(parts))


def _use(facts: CardFacts) -> Section:
    said = facts.description or "The recipe does not say what the classifier is for."
    return Section(
        "Intended use",
        (
            Paragraph(said),
            Paragraph(
                f"It takes one image and answers with one of {len(facts.labels)} labels and their probabilities:"
            ),
            Bullets(facts.labels),
            Paragraph("It is not made for images of anything else: whatever it is shown gets one of these labels."),
        ),
    )


def _training(facts: CardFacts) -> Section:
    if facts.version is None:
        return Section("Training", (Paragraph("Its description cannot be read."),))
    candidate = facts.version.candidate
    balanced: list[tuple[str, Text]] = [
        ("Candidate", candidate.name),
        ("Against the imbalance", candidate.strategy.replace("_", " ")),
        ("Settings", ", ".join(f"{name} {value:g}" for name, value in candidate.settings.items())),
        ("Rows trained on", f"{count(candidate.n_train_rows)}, synthetic ones included"),
        ("Chosen by", f"macro recall in cross-validation, {_cross_validated(facts.version)}"),
    ]
    if candidate.thresholds:
        thresholds = ", ".join(f"{label} {value:.3g}" for label, value in candidate.thresholds.items())
        balanced.append(("Decision thresholds", thresholds))
    return Section("Training", (*_counts(facts), Facts(tuple(balanced))))


def _cross_validated(version: Version) -> str:
    scores = version.candidate.cross_validation
    return f"{scores.mean:.4f} ± {scores.standard_error:.4f} (one standard error)"


def _counts(facts: CardFacts) -> Iterator[Part]:
    if facts.snapshot is None:
        yield Paragraph("The counts of its dataset are not among the records of a run any more.")
        return
    counts = facts.snapshot.counts
    after = facts.plan.counts_after if facts.plan else {}
    rows = tuple(
        (
            label,
            count(counts["train"].get(label, 0)),
            *((count(after.get(label, 0)),) if facts.plan else ()),
            count(counts["validation"].get(label, 0)),
            count(counts["test"].get(label, 0)),
        )
        for label in facts.labels
    )
    balanced = ("Train, balanced",) if facts.plan else ()
    yield Table("Images of the dataset by class", ("Class", "Train", *balanced, "Validation", "Test"), rows)


def _limitations(facts: CardFacts) -> Section:
    return Section("Limitations", (Bullets(tuple(_limits(facts))),))


def _limits(facts: CardFacts) -> Iterator[str]:
    tested = facts.evaluation.challenger.metrics.n_rows if facts.evaluation else {}
    rare = [f"{label} ({count(n)})" for label, n in tested.items() if n < FEW_ROWS]
    if rare:
        yield f"Few test images, so that recall and precision say little: {', '.join(rare)}."
    trained = facts.snapshot.counts["train"] if facts.snapshot else {}
    rare = [
        f"{label} ({count(trained.get(label, 0))})" for label in facts.labels if trained and trained[label] < FEW_ROWS
    ]
    if rare:
        yield f"Few train images: {', '.join(rare)}."
    if facts.plan is not None:
        yield "Synthetic rows lie between vectors of train images of one class; they show the model no new image."
    if facts.evaluation is not None and facts.evaluation.challenger.deployment is None:
        yield (
            "How common the classes are where it is used is not known to it: accuracy, precision and calibration are "
            "those of the test images' own class distribution."
        )
    yield "Test images come from the same deliveries as train images; images of another origin were not tried."
    yield "Labels are taken as delivered; a wrong one among the test images counts against the model that is right."
    yield "What images the extractor was trained on first, before this project, is not recorded."
    yield "Whom a wrong answer harms is not known to this software: who uses the model must weigh that."


def _lineage(facts: CardFacts) -> Section:
    if facts.version is None:
        return Section("Lineage", (Paragraph("Its description cannot be read."),))
    lineage, provenance = facts.version.lineage, facts.version.provenance
    known = (
        ("Snapshot", lineage.snapshot_digest),
        ("Resampling plan", lineage.resampling_digest),
        ("Extractor", lineage.extractor_fingerprint),
        ("Code", lineage.code_digest),
        ("Recipe", lineage.config_digest),
        ("Environment lock", lineage.environment_digest),
    )
    rows: list[tuple[str, Text]] = [(name, Code(digest) if digest else "none") for name, digest in known]
    seeds = ", ".join(f"{name} {seed}" for name, seed in lineage.seeds.items())
    rows.append(("Seeds", seeds or "not kept"))
    rows.append(("Libraries", ", ".join(f"{name} {version}" for name, version in lineage.versions.items())))
    if provenance is not None:
        by = f" by {provenance.by}" if provenance.by else ""
        rows.append(("Made by run", f"{provenance.run_id}, started {moment(provenance.started_at)}{by}"))
    return Section("Lineage", (Facts(tuple(rows)),))


def _loading(facts: CardFacts) -> Section:
    return Section(
        "How to load it",
        (
            Paragraph(
                "With TensorFlow alone, from the bytes of image files to labels, decoding and thresholds inside:"
            ),
            Listing("python", LOADING),
            Paragraph(
                "TensorFlow Serving reads the folder as it is: copy the content of saved_model/ to "
                f"<model base path>/{facts.classifier}/1/, where 1 is a number that grows with every version."
            ),
            Paragraph(
                'With Keras, from pixels to probabilities: keras.saving.load_model("model.keras", compile=False, '
                "safe_mode=True)."
            ),
            Paragraph("golden.npz holds images and the probabilities that they must give: compare once after a start."),
        ),
    )


def _history(facts: CardFacts) -> Section:
    if not facts.entries:
        return Section("History", (Paragraph("The journal says nothing about this version."),))
    rows = tuple((str(entry.number), *_event(entry, facts.name)) for entry in facts.entries)
    return Section("History", (Table("Oldest first", ("Entry", "When", "What", "Who", "Why"), rows, n_left=5),))


def _event(entry: JournalEntry, name: str) -> tuple[str, str, str, str]:
    """Returns when, what, who and why."""
    match entry.decision or entry.move or entry.approval or entry.retirement:
        case PromotionDecision() as decision:
            verdict = "approved" if decision.approved else "refused"
            what = f"{verdict}, decided only" if decision.is_dry_run else verdict
            return moment(decision.decided_at), what, decision.by or decision.run_id, _why(decision)
        case Move() as move:
            return moment(move.moved_at), _moved(move, name), move.by or move.run_id, move.reason or "–"
        case Approval() as approval:
            what = "promotion approved" if approval.approved else "promotion vetoed"
            return moment(approval.answered_at), what, approval.by or "nobody in time", "–"
        case Retirement() as retirement:
            return moment(retirement.retired_at), "retired", retirement.by, retirement.reason
    return "–", "–", "–", "–"


def _why(decision: PromotionDecision) -> str:
    more = len(decision.reasons) - MOST_REASONS
    first = "; ".join(decision.reasons[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")
    return first or f"{len(decision.gates)} checks passed"


def _moved(move: Move, name: str) -> str:
    if move.resulting == name:
        came = f" in place of {move.incumbent}" if move.incumbent else " as the first"
        return f"{'champion again by a rollback' if move.kind == 'rollback' else 'promoted'}{came}"
    return f"{'left by a rollback, for' if move.kind == 'rollback' else 'replaced by'} {move.resulting}"


def _files(facts: CardFacts) -> Section:
    if facts.version is None:
        return Section("Files", (Paragraph("Its manifest cannot be read."),))
    rows = tuple((Code(name), Code(digest)) for name, digest in facts.version.manifest.files.items())
    return Section("Files", (Table("As published, with sha256", ("File", "sha256"), rows, n_left=2),))
