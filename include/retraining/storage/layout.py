"""Where everything lies in the bucket: the only place that builds keys."""

from __future__ import annotations

from datetime import date


def deliveries(classifier: str) -> str:
    """Prefix of everything that was delivered, a folder a day."""
    return f"incoming/{classifier}/"


def incoming(classifier: str, day: date) -> str:
    """Prefix of what was delivered for a day."""
    return f"{deliveries(classifier)}{day.isoformat()}/"


def quarantine(classifier: str, day: date) -> str:
    """Prefix of the images that a day's intake refused."""
    return f"quarantine/{classifier}/{day.isoformat()}/"


def batches(classifier: str) -> str:
    """Prefix of the accepted batches."""
    return f"batches/{classifier}/"


def batch(classifier: str, day: date, digest: str) -> str:
    """Prefix of one revision of an accepted batch."""
    return f"{batches(classifier)}{day.isoformat()}/{digest}/"


def current_batch(classifier: str, day: date) -> str:
    """Pointer to the current revision of a day's batch."""
    return f"{batches(classifier)}{day.isoformat()}/current.json"


def baselines(classifier: str) -> str:
    """Prefix of the registered baselines, an object a day."""
    return f"baselines/{classifier}/"


def baseline(classifier: str, since: date) -> str:
    """Registration of a day that later batches are compared from."""
    return f"{baselines(classifier)}{since.isoformat()}.json"


def snapshot(classifier: str, digest: str) -> str:
    """Prefix of a frozen dataset."""
    return f"snapshots/{classifier}/{digest}/"


def packs(classifier: str, day: date) -> str:
    """Prefix of the packs: the small images of a day's delivery, many in an object."""
    return f"packs/{classifier}/{day.isoformat()}/"


def embeddings(fingerprint: str) -> str:
    """Prefix of all vectors of one extractor."""
    return f"embeddings/{fingerprint}/"


def embedding_parts(fingerprint: str) -> str:
    """Prefix of the parts that hold an extractor's vectors."""
    return f"{embeddings(fingerprint)}parts/"


def embedding_index(fingerprint: str) -> str:
    """Prefix of the merged indexes of an extractor's parts."""
    return f"{embeddings(fingerprint)}index/"


def golden(fingerprint: str, digest: str) -> str:
    """Prefix of the vectors that every worker's extractor must give for the golden images; the digest is theirs."""
    return f"{embeddings(fingerprint)}golden/{digest}/"


def projection(fingerprint: str, digest: str) -> str:
    """Prefix of a projection that was fitted on vectors of one extractor."""
    return f"{embeddings(fingerprint)}projections/{digest}/"


def fingerprints() -> str:
    """Prefix of what each fingerprint is made of, an object each."""
    return "extractors/fingerprints/"


def fingerprint_components(fingerprint: str) -> str:
    """What one fingerprint is made of."""
    return f"{fingerprints()}{fingerprint}.json"


def tuned_extractors(classifier: str) -> str:
    """Prefix of a classifier's fine-tuned networks."""
    return f"extractors/{classifier}/"


def tuned_extractor(classifier: str, digest: str) -> str:
    """Prefix of one fine-tuned network; the digest is that of everything it was trained from."""
    return f"{tuned_extractors(classifier)}{digest}/"


def checkpoints(classifier: str, digest: str) -> str:
    """Prefix of the states of a fine-tuning, a folder an epoch."""
    return f"{tuned_extractor(classifier, digest)}checkpoints/"


def checkpoint(classifier: str, digest: str, epoch: int) -> str:
    """Prefix of the state of a fine-tuning after an epoch, from 1."""
    return f"{checkpoints(classifier, digest)}{epoch:04d}/"


def resampling(classifier: str, digest: str) -> str:
    """Prefix of a resampling plan."""
    return f"resampling/{classifier}/{digest}/"


def decoder(classifier: str, digest: str) -> str:
    """Prefix of a decoder from vectors to pictures; the digest is that of everything it was trained from."""
    return f"decoders/{classifier}/{digest}/"


def candidate(classifier: str, digest: str) -> str:
    """Prefix of a trained candidate; the digest is that of everything it was trained from."""
    return f"candidates/{classifier}/{digest}/"


def evaluation(classifier: str, version: str, test_digest: str) -> str:
    """Prefix of the scores that one model version gave to one set of test rows."""
    return f"evaluations/{classifier}/{version}/{test_digest}/"


def models(classifier: str) -> str:
    """Prefix of everything about a classifier's models."""
    return f"models/{classifier}/"


def versions(classifier: str) -> str:
    """Prefix of the model versions."""
    return f"{models(classifier)}versions/"


def version(classifier: str, name: str) -> str:
    """Prefix of one immutable model version."""
    return f"{versions(classifier)}{name}/"


def champion(classifier: str) -> str:
    """Pointer to the version in production."""
    return f"{models(classifier)}champion.json"


def history(classifier: str) -> str:
    """Prefix of the append-only journal of decisions and moves."""
    return f"{models(classifier)}history/"


def journal_head(classifier: str) -> str:
    """Pointer to the newest entry of the journal."""
    return f"{models(classifier)}journal_head.json"


def cards(classifier: str) -> str:
    """Prefix of the model cards, a folder a version."""
    return f"{models(classifier)}cards/"


def card(classifier: str, name: str) -> str:
    """Prefix of the model card of a version. It is written anew whenever something happens to the version."""
    return f"{cards(classifier)}{name}/"


def runs(classifier: str) -> str:
    """Prefix of what runs recorded of themselves, a folder a run."""
    return f"runs/{classifier}/"


def run(classifier: str, run_key: str) -> str:
    """Prefix of what one run recorded of itself."""
    return f"{runs(classifier)}{run_key}/"


def reconstruction(classifier: str, run_key: str) -> str:
    """Prefix of a run's pictures of synthetic rows."""
    return f"{run(classifier, run_key)}reconstruction/"


def data_docs(classifier: str, run_key: str, day: date) -> str:
    """Prefix of the pages about one day's delivery, as one run validated it."""
    return f"{run(classifier, run_key)}intake/{day.isoformat()}/data_docs/"
