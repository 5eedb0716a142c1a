from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    content_digest,
    content_type_of,
    create,
    get_verified,
    manifest_of,
    parse_manifest,
    problems_of,
    publish,
    publish_once,
    read_manifest,
    read_manifest_if_any,
    read_published,
    sha256,
    write_once,
)
from tests.stores import DyingStore, RememberingStore, holding

Publish = Callable[[InMemoryStore, str, Mapping[str, bytes]], Manifest]

PREFIX = "models/flowers/versions/v1/"
FILES = {"model.keras": b"weights", "labels.json": b'["daisy"]', "deep/er.txt": b"text"}


PUBLISHERS = pytest.mark.parametrize("publish", [publish, publish_once])
ELSEWHERE = (
    "",
    "/etc/passwd",
    "//host/share",
    "../champion.json",
    "../../../other/file",
    "deep/../../up",
    ".",
    "./model.keras",
    "deep/./er",
    "deep//er",
    "deep/",
    "..\\up",
    "C:\\up",
    "new\nline",
    "nul\0",
    "\x1b[2J",
    "\ud800",
    "manifest.json",
)


class LostAnswerStore(InMemoryStore):
    """Creates what it is asked to, but its client hears nothing, asks again, and is told that it came too late."""

    def replace(self, key, body, *, etag, content_type="application/json"):
        super().replace(key, body, etag=etag, content_type=content_type)
        return super().replace(key, body, etag=etag, content_type=content_type)


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    publish(store, PREFIX, FILES)
    return store


@PUBLISHERS
def test_the_manifest_is_written_after_every_file(publish: Publish):
    store = RememberingStore()
    publish(store, PREFIX, FILES)
    assert len(store.states) == 4
    assert all(f"{PREFIX}{MANIFEST}" not in state for state in store.states)
    assert store.states[-1].keys() == {f"{PREFIX}{name}" for name in FILES}


def test_what_was_published_is_read_back_and_is_whole(store: InMemoryStore):
    manifest = read_manifest(store, PREFIX)
    assert manifest == manifest_of(FILES)
    assert manifest.files == {name: sha256(body) for name, body in FILES.items()}
    assert {name: read_published(store, PREFIX, name) for name in FILES} == FILES
    assert problems_of(store, PREFIX) == []


@PUBLISHERS
def test_a_repeat_with_the_same_files_writes_nothing(store: InMemoryStore, publish: Publish):
    again = DyingStore(writes=0, objects=store.objects)
    assert publish(again, PREFIX, dict(reversed(FILES.items()))) == read_manifest(store, PREFIX)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**FILES, "model.keras": b"other"}, id="another content"),
        pytest.param({**FILES, "more.txt": b""}, id="one more file"),
        pytest.param({"model.keras": b"weights"}, id="fewer files"),
        pytest.param({"labels.json": b"weights", "model.keras": b'["daisy"]', "deep/er.txt": b"text"}, id="swapped"),
    ],
)
@PUBLISHERS
def test_other_content_under_the_same_prefix_is_refused_and_nothing_is_touched(
    store: InMemoryStore, other: dict[str, bytes], publish: Publish
):
    before = dict(store.objects)
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {manifest_of(other).digest}"):
        publish(store, PREFIX, other)
    assert store.objects == before


@PUBLISHERS
@pytest.mark.parametrize("writes", range(len(FILES) + 1))
def test_a_writer_that_is_killed_at_any_write_leaves_nothing_to_read_and_a_repeat_completes_it(
    store: InMemoryStore, writes: int, publish: Publish
):
    dying = DyingStore(writes)
    with pytest.raises(StorageUnavailableError):
        publish(dying, PREFIX, FILES)
    left = holding(dying.objects)
    assert read_manifest_if_any(left, PREFIX) is None
    with pytest.raises(ArtifactIntegrityError, match="expected a published artifact, got nothing"):
        read_published(left, PREFIX, "model.keras")
    publish(left, PREFIX, FILES)
    assert left.objects == store.objects


def test_what_a_killed_writer_left_under_other_content_is_overwritten(store: InMemoryStore):
    left = holding({f"{PREFIX}model.keras": b"half"})
    publish(left, PREFIX, FILES)
    assert left.objects == store.objects


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_by_the_check_and_by_the_reader(store: InMemoryStore, name: str):
    body = bytearray(FILES[name])
    body[-1] ^= 1
    store.put(f"{PREFIX}{name}", bytes(body))
    (problem,) = problems_of(store, PREFIX)
    assert problem.startswith(f"s3://memory/{PREFIX}{name}: expected sha256 {sha256(FILES[name])}")
    with pytest.raises(ArtifactIntegrityError, match=f"got sha256 {sha256(bytes(body))}"):
        read_published(store, PREFIX, name)


def test_every_missing_file_is_a_problem_of_its_own(store: InMemoryStore):
    store.delete(f"{PREFIX}model.keras")
    store.delete(f"{PREFIX}labels.json")
    assert len(problems_of(store, PREFIX)) == 2
    with pytest.raises(ArtifactIntegrityError, match="got no object"):
        read_published(store, PREFIX, "model.keras")
    assert read_published(store, PREFIX, "deep/er.txt") == b"text"


def test_a_file_that_the_manifest_does_not_list_is_not_read(store: InMemoryStore):
    store.put(f"{PREFIX}planted.txt", b"planted")
    with pytest.raises(ArtifactIntegrityError, match="got an unlisted name"):
        read_published(store, PREFIX, "planted.txt")


def test_a_deleted_manifest_is_a_problem(store: InMemoryStore):
    store.delete(f"{PREFIX}{MANIFEST}")
    (problem,) = problems_of(store, PREFIX)
    assert "expected a published artifact, got nothing" in problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"digest": "a"}',
        b'{"digest": "a", "files": []}',
        b'{"digest": "a", "files": {}}',
    ],
)
def test_a_manifest_that_is_none_is_a_problem_and_not_taken_for_nothing(store: InMemoryStore, body: bytes):
    store.put(f"{PREFIX}{MANIFEST}", body)
    assert len(problems_of(store, PREFIX)) == 1
    with pytest.raises(ArtifactIntegrityError):
        read_manifest_if_any(store, PREFIX)
    with pytest.raises(ArtifactIntegrityError):
        publish(store, PREFIX, FILES)


def test_a_manifest_whose_files_were_changed_contradicts_its_own_digest(store: InMemoryStore):
    document = json.loads(store.get(f"{PREFIX}{MANIFEST}"))
    document["files"]["model.keras"] = sha256(b"planted")
    store.put(f"{PREFIX}model.keras", b"planted")
    store.put(f"{PREFIX}{MANIFEST}", json.dumps(document).encode())
    (problem,) = problems_of(store, PREFIX)
    assert f"got digest {document['digest']}" in problem
    with pytest.raises(ArtifactIntegrityError):
        read_published(store, PREFIX, "model.keras")


def test_an_object_of_a_known_digest_is_verified(store: InMemoryStore):
    key = f"{PREFIX}model.keras"
    assert get_verified(store, key, sha256(b"weights")) == b"weights"
    with pytest.raises(ArtifactIntegrityError, match=f"expected sha256 {sha256(b'other')}"):
        get_verified(store, key, sha256(b"other"))
    with pytest.raises(ArtifactIntegrityError, match="got no object"):
        get_verified(store, "missing", sha256(b""))


@given(files=st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=8), max_size=6), seed=st.randoms())
def test_the_order_of_files_changes_neither_a_digest_nor_a_byte_of_the_manifest(files: dict[str, bytes], seed):
    shuffled = list(files.items())
    seed.shuffle(shuffled)
    assert manifest_of(dict(shuffled)).to_json() == manifest_of(files).to_json()
    assert manifest_of(dict(shuffled)).digest == content_digest({name: sha256(files[name]) for name in files})


def test_a_digest_depends_on_names_and_contents():
    digests = {
        content_digest({}),
        content_digest({"a": "1"}),
        content_digest({"b": "1"}),
        content_digest({"a": "2"}),
        content_digest({"a": "1", "b": "2"}),
        content_digest({"a": "2", "b": "1"}),
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("report.html", "text/html; charset=utf-8"),
        ("models/a/manifest.json", "application/json"),
        ("x.png", "image/png"),
        ("model.keras", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ],
)
def test_the_content_type_is_that_of_the_ending(name: str, kind: str):
    assert content_type_of(name) == kind


def test_what_is_published_once_is_what_is_published(store: InMemoryStore):
    once = InMemoryStore()

    assert publish_once(once, PREFIX, FILES) == read_manifest(store, PREFIX)

    assert once.objects == store.objects


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_an_object_with_other_bytes_is_named_and_never_overwritten_by_what_is_published_once(name: str):
    left = holding({f"{PREFIX}{name}": b"somebody else's"})

    with pytest.raises(ArtifactIntegrityError, match=f"{PREFIX}{name}"):
        publish_once(left, PREFIX, FILES)

    assert left.get(f"{PREFIX}{name}") == b"somebody else's"
    assert name == MANIFEST or not left.exists(f"{PREFIX}{MANIFEST}")


def test_publishing_once_survives_a_client_that_loses_against_itself(store: InMemoryStore):
    lost = LostAnswerStore()

    publish_once(lost, PREFIX, FILES)

    assert lost.objects == store.objects


def test_many_who_publish_the_same_once_at_once_all_succeed(store: InMemoryStore):
    shared = InMemoryStore()

    with ThreadPoolExecutor(8) as pool:
        manifests = list(pool.map(lambda _: publish_once(shared, PREFIX, FILES), range(16)))

    assert manifests == [manifest_of(FILES)] * 16
    assert shared.objects == store.objects


def test_of_many_who_publish_different_files_once_at_once_one_succeeds():
    shared = InMemoryStore()

    def succeeds(number: int) -> bool:
        try:
            publish_once(shared, PREFIX, {**FILES, "model.keras": b"%d" % number})
        except ArtifactIntegrityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        succeeded = list(pool.map(succeeds, range(16)))

    assert succeeded.count(True) == 1
    assert problems_of(shared, PREFIX) == []
    assert shared.get(f"{PREFIX}model.keras") == b"%d" % succeeded.index(True)


def test_files_that_are_published_once_have_the_content_type_of_their_ending(monkeypatch: pytest.MonkeyPatch):
    kinds = {}
    replace = InMemoryStore.replace

    def remember(self, key, body, *, etag, content_type="application/json"):
        kinds[key.removeprefix(PREFIX)] = content_type
        return replace(self, key, body, etag=etag, content_type=content_type)

    monkeypatch.setattr(InMemoryStore, "replace", remember)

    publish_once(InMemoryStore(), PREFIX, FILES)

    assert kinds == {
        "model.keras": "application/octet-stream",
        "labels.json": "application/json",
        "deep/er.txt": "application/octet-stream",
        MANIFEST: "application/json",
    }


def test_an_object_is_created_once_and_left_alone_by_who_has_the_same_bytes():
    store = InMemoryStore()
    write_once(store, "a.json", b"{}")
    write_once(store, "a.json", b"{}")

    with pytest.raises(ArtifactIntegrityError, match=r"s3://memory/a\.json"):
        write_once(store, "a.json", b"[]")

    assert store.get("a.json") == b"{}"


def test_a_store_that_says_there_is_an_object_and_that_there_is_none_may_be_tried_again():
    class UndecidedStore(InMemoryStore):
        def replace(self, key, body, *, etag, content_type="application/json"):
            return False

    with pytest.raises(StorageUnavailableError, match=r"create s3://memory/a\.json"):
        create(UndecidedStore(), "a.json", b"{}")


def test_who_comes_second_is_told_what_the_first_one_wrote():
    store = InMemoryStore()

    assert create(store, "a.json", b"first") == b"first"
    assert create(store, "a.json", b"second") == b"first"
    assert store.get("a.json") == b"first"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_manifest_with_a_name_that_leaves_its_prefix_is_refused_though_its_digest_fits(
    store: InMemoryStore, name: str
):
    forged = Manifest({**manifest_of(FILES).files, name: sha256(b"")})
    body = json.dumps({"digest": content_digest(forged.files) if name != "\ud800" else "", "files": forged.files})
    store.put(f"{PREFIX}{MANIFEST}", body.encode())

    with pytest.raises(ArtifactIntegrityError, match=f"{MANIFEST}: expected names of files below its prefix"):
        read_manifest(store, PREFIX)
    assert len(problems_of(store, PREFIX)) == 1


@PUBLISHERS
@pytest.mark.parametrize("name", [name for name in ELSEWHERE if name != "\ud800"])
def test_a_name_that_leaves_its_prefix_is_not_written_either(name: str, publish: Publish):
    store = InMemoryStore()

    with pytest.raises(ArtifactIntegrityError, match="expected names of files below its prefix"):
        publish(store, PREFIX, {**FILES, name: b""})

    assert store.objects == {}


@pytest.mark.parametrize(
    "name", ["a", ".hidden", "...", "a..b", "deep/er/still", "with space", "ünïcode", "a+b&c=d?e#f"]
)
def test_a_name_below_the_prefix_is_a_name(name: str):
    store = InMemoryStore()

    publish(store, PREFIX, {name: b"body"})

    assert read_published(store, PREFIX, name) == b"body"


@pytest.mark.parametrize("digest", ["", "ab12", "A" * 64, "0" * 65, "g" * 64, f"{'0' * 63}\n", 5, None, ["0" * 64]])
def test_a_manifest_with_a_digest_that_is_none_is_refused(digest: object):
    stated = content_digest({"a": str(digest)})

    with pytest.raises(ArtifactIntegrityError, match="m: expected a sha256 of a"):
        parse_manifest(json.dumps({"digest": stated, "files": {"a": digest}}).encode(), "m")
