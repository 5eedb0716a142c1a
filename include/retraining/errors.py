"""Every error that the project raises on purpose, in one tree. A refusal to promote is not here: it is a decision.

RetrainingError
├── PermanentError               a retry cannot help
│   ├── ConfigurationError       act: operator      (also ValueError)
│   ├── DataContractError        act: data owner
│   ├── InsufficientDataError    act: data owner
│   ├── TrainingDivergedError    act: modeller
│   └── ArtifactIntegrityError   act: platform
└── TransientError               a retry may help
    ├── StorageUnavailableError  act: platform
    ├── PointerMovedError        act: nobody, the retry reads again
    └── GoldenCheckError         act: platform

Leaves are raised, never the classes between. Every constructor hands all its arguments to `Exception`, so that an
error survives the pickling between processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RetrainingError(Exception):
    """Base of every error of the project."""


class PermanentError(RetrainingError):
    """Base of the errors that a retry cannot heal."""


class TransientError(RetrainingError):
    """Base of the errors that may heal by themselves."""


class ConfigurationError(PermanentError, ValueError):
    """A setting is wrong; the operator must change it.

    Attributes:
        where: The file or variable, with the key inside it.
        problem: What was found and what was expected.
        cure: What to write instead.
    """

    def __init__(self, where: str, problem: str, cure: str) -> None:
        super().__init__(where, problem, cure)
        self.where = where
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}. {self.cure}"


class DataContractError(PermanentError):
    """A delivered batch breaks the contract as a whole; the data owner must deliver it again.

    Attributes:
        batch: URI of the batch.
        failed_checks: One sentence a check.
    """

    def __init__(self, batch: str, failed_checks: Sequence[str]) -> None:
        super().__init__(batch, tuple(failed_checks))
        self.batch = batch
        self.failed_checks = tuple(failed_checks)

    def __str__(self) -> str:
        checks = "; ".join(self.failed_checks)
        return f"{self.batch} is refused: {checks}. The data owner must correct the delivery and run the window again."


class InsufficientDataError(PermanentError):
    """A class has too few images for what was asked; the data owner must deliver more.

    Attributes:
        what: What needed the images.
        counts: Images by label, the labels that are short only.
        minimum: Images that each label needs.
    """

    def __init__(self, what: str, counts: Mapping[str, int], minimum: int) -> None:
        super().__init__(what, dict(counts), minimum)
        self.what = what
        self.counts = dict(counts)
        self.minimum = minimum

    def __str__(self) -> str:
        short = ", ".join(f"{label!r} has {count}" for label, count in self.counts.items())
        return (
            f"{self.what} needs at least {self.minimum} images a class; {short}. "
            "Deliver more images of these labels, or take the labels out of the classifier's YAML."
        )


class TrainingDivergedError(PermanentError):
    """The loss became NaN or infinite; the modeller must change the recipe.

    Attributes:
        candidate: Name of the candidate, or what else was trained.
        epoch: First epoch with a loss that is not finite, from 1.
        seed: The seed that repeats it.
        cure: What to change.
    """

    def __init__(
        self, candidate: str, epoch: int, seed: int, cure: str = "training.learning_rate or the head's weight_decay"
    ) -> None:
        super().__init__(candidate, epoch, seed, cure)
        self.candidate = candidate
        self.epoch = epoch
        self.seed = seed
        self.cure = cure

    def __str__(self) -> str:
        return (
            f"The loss of {self.candidate!r} was not finite at epoch {self.epoch} (seed {self.seed}). "
            f"Lower {self.cure} in the classifier's YAML."
        )


class ArtifactIntegrityError(PermanentError):
    """Stored bytes are missing or are not those that their manifest names; the platform team must look.

    Attributes:
        uri: The object.
        expected: What should be there: a sha256, or a description.
        got: What is there.
    """

    def __init__(self, uri: str, expected: str, got: str) -> None:
        super().__init__(uri, expected, got)
        self.uri = uri
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return (
            f"{self.uri}: expected {self.expected}, got {self.got}. "
            "Restore the object from a backup, or delete what holds it and run the step again."
        )


class StorageUnavailableError(TransientError):
    """The object store did not answer, or answered that it cannot now.

    Attributes:
        operation: The verb and the URI.
        cause: What the store or the network said.
    """

    def __init__(self, operation: str, cause: str) -> None:
        super().__init__(operation, cause)
        self.operation = operation
        self.cause = cause

    def __str__(self) -> str:
        return (
            f"The object store failed at {self.operation}: {self.cause}. Check that it is up and reachable; then retry."
        )


class PointerMovedError(TransientError):
    """Somebody else moved a pointer between our read and our write; reading again decides anew.

    Attributes:
        uri: The pointer.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        return (
            f"{self.uri} was moved by another writer since it was read. Nothing was overwritten; the retry reads again."
        )


class GoldenCheckError(TransientError):
    """A worker's network does not give the expected vectors for fixed images; another worker may.

    Attributes:
        runs_on: What runs the network and where.
        difference: Largest distance from an expected vector, as a share of its length; NaN where a number is none.
        tolerance: What it may be.
    """

    def __init__(self, runs_on: str, difference: float, tolerance: float) -> None:
        super().__init__(runs_on, difference, tolerance)
        self.runs_on = runs_on
        self.difference = difference
        self.tolerance = tolerance

    def __str__(self) -> str:
        return (
            f"{self.runs_on} gives wrong vectors for the golden images: they differ by {self.difference:.3g} of their "
            f"length from the expected ones, which is not within {self.tolerance:g}. This worker stored nothing. Free "
            "its accelerator's memory and check its driver, or let another worker retry; where precision is mixed and "
            "every worker fails, set embedding.precision to float32."
        )
