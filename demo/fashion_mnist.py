"""Gets Fashion-MNIST and reads it: from Debian's package, or as Keras downloads it, and from a cache ever after.

What becomes of the images is in `delivery.py`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage.publishing import sha256

Pixels = npt.NDArray[np.uint8]

REPOSITORY = Path(__file__).parent.parent
PACKAGE = "dataset-fashion-mnist"
SOURCE_SECONDS = 600  # a source that takes longer has failed; 31 MB
UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class IdxFile:
    """One gzipped file in the IDX format.

    Attributes:
        name: File name.
        shape: Shape of the array in it.
        sha256: Digest of the file once decompressed: the sources compress it differently.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str


TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte.gz",
    (60_000, 28, 28),
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte.gz", (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
)
TEST_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte.gz",
    (10_000, 28, 28),
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
)
TEST_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte.gz", (10_000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True)
class FashionMnist:
    """The data set. Label ids are its own: 0 is a T-shirt, 9 an ankle boot.

    Attributes:
        train_images: Shape ``(60000, 28, 28)``.
        train_labels: Shape ``(60000,)``.
        test_images: Shape ``(10000, 28, 28)``.
        test_labels: Shape ``(10000,)``.
    """

    train_images: Pixels
    train_labels: Pixels
    test_images: Pixels
    test_labels: Pixels


Source = Callable[[Path], str]
"""Puts the four files into a directory, or returns why it could not; an empty answer is success."""


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns where the files are kept: below `RETRAIN_CACHE_DIR`, or below `.cache` of the repository."""
    return Path(environment.get("RETRAIN_CACHE_DIR") or REPOSITORY / ".cache") / "fashion-mnist"


def load(cache: Path, sources: Sequence[Source] | None = None) -> FashionMnist:
    """Returns the data set, from the cache where it is there already; nothing is asked of the network then.

    Args:
        cache: Directory of the four files.
        sources: Where to get them, tried in this order; None for Debian's package, then Keras.

    Side effects:
        The files are moved into the cache only when all four are there and verified.

    Raises:
        ConfigurationError: If no source has them; the message holds every source's reason and the ways out.
        ArtifactIntegrityError: If a file in the cache is not the one that it should be.
    """
    if not is_cached(cache):
        _fetch(cache, (fetch_with_apt, fetch_with_keras) if sources is None else sources)
    return FashionMnist(*(read_idx(cache / file.name, file) for file in FILES))


def is_cached(cache: Path) -> bool:
    """Tells whether the four files are there."""
    return all((cache / file.name).is_file() for file in FILES)


def read_idx(path: Path, file: IdxFile) -> Pixels:
    """Reads an IDX file of unsigned bytes.

    Args:
        path: The gzipped file.
        file: What must be in it.

    Raises:
        ArtifactIntegrityError: If the digest, the header or the length is another.
    """
    try:
        body = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise ArtifactIntegrityError(path.as_uri(), "a gzipped IDX file", str(error)) from error
    if sha256(body) != file.sha256:
        raise ArtifactIntegrityError(path.as_uri(), f"sha256 {file.sha256} inside", f"sha256 {sha256(body)}")
    header = struct.Struct(f">HBB{len(file.shape)}I")
    expected = (0, UNSIGNED_BYTE, len(file.shape), *file.shape)
    if len(body) != header.size + int(np.prod(file.shape)) or header.unpack_from(body) != expected:
        raise ArtifactIntegrityError(path.as_uri(), f"unsigned bytes of shape {file.shape}", "another header or length")
    return np.frombuffer(body, np.uint8, offset=header.size).reshape(file.shape)


def fetch_with_apt(target: Path) -> str:
    """Unpacks Debian's package with `apt-get download` and `dpkg -x`, neither of which needs root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return "apt: there is no apt-get or no dpkg on this machine"
    problem = _download_package(target, lists=())
    if problem:
        # The machine's package lists may be absent, and only root may fetch them: fetch a copy of our own.
        lists = target / "lists"
        (lists / "partial").mkdir(parents=True)
        own = ("-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={target / 'apt-cache'}")
        problem = _run(["apt-get", "-q", *own, "update"], target) or _download_package(target, lists=own)
    if problem:
        return f"apt: {problem} (if its package lists are missing, `apt-get update` as root brings them)"
    [package] = target.glob(f"{PACKAGE}_*.deb")
    problem = _run(["dpkg", "-x", str(package), str(target / "unpacked")], target)
    return f"apt: {problem}" if problem else _take_files(target / "unpacked", target, "apt")


def fetch_with_keras(target: Path) -> str:
    """Has Keras download the files, in a process of its own so that nothing of it is imported here."""
    home = target / "keras"
    script = "import keras; keras.datasets.fashion_mnist.load_data()"
    environment = {**os.environ, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    problem = _run([sys.executable, "-c", script], target, environment)
    return f"keras.datasets: {problem}" if problem else _take_files(home, target, "keras.datasets")


def _fetch(cache: Path, sources: Sequence[Source]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    problems = []
    for source in sources:
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as name:
            target = Path(name)
            problem = source(target) or _wrong_file(target)
            if not problem:
                for file in FILES:
                    (target / file.name).replace(cache / file.name)
                return
            problems.append(problem)
    raise ConfigurationError(
        "Fashion-MNIST",
        f"no source has it; {'; '.join(problems)}",
        f"Either let apt reach a Debian mirror (package {PACKAGE}) or let Keras reach its download server, "
        f"or put {', '.join(file.name for file in FILES)} into {cache} by hand",
    )


def _wrong_file(directory: Path) -> str:
    for file in FILES:
        try:
            read_idx(directory / file.name, file)
        except ArtifactIntegrityError as error:
            return str(error)
    return ""


def _download_package(target: Path, *, lists: tuple[str, ...]) -> str:
    return _run(["apt-get", "-q", *lists, "download", PACKAGE], target)


def _take_files(unpacked: Path, target: Path, source: str) -> str:
    for file in FILES:
        found = next(unpacked.rglob(file.name), None)
        if found is None:
            return f"{source}: it brought no {file.name}"
        found.replace(target / file.name)
    return ""


def _run(command: list[str], directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """Returns an empty text, or the last line that the failed command printed."""
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SOURCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {SOURCE_SECONDS} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
    return f"{command[0]} failed with status {done.returncode}: {lines[-1] if lines else 'no message'}"
