from __future__ import annotations

import base64

from include.retraining.reporting.embedded_pictures import embed_pictures
from include.retraining.storage.memory import InMemoryStore

PNG = b"\x89PNG\r\n\x1a\n"


def stored(**pictures: bytes) -> InMemoryStore:
    store = InMemoryStore()
    for name, body in pictures.items():
        store.put(f"pictures/{name}.png", body)
    return store


def uris(*names: str) -> list[str]:
    return [f"s3://memory/pictures/{name}.png" for name in names]


def test_a_picture_is_carried_whole() -> None:
    store = stored(a=PNG + b"pixels")

    picture = embed_pictures(store, uris("a"))[uris("a")[0]]

    kind, _, content = picture.source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == PNG + b"pixels"
    assert picture.absence == ""


def test_a_picture_that_is_gone_or_is_none_is_named_and_the_others_are_shown() -> None:
    store = stored(page=b"<svg onload=alert(1)>", good=PNG)
    elsewhere = "s3://another/picture.png"

    pictures = embed_pictures(store, [*uris("gone", "page"), elsewhere, *uris("good")])

    assert [picture.absence for picture in pictures.values()] == [
        "it is not in the store any more",
        "what is stored there is no PNG file",
        f"Expected a URI that starts with s3://memory/; got {elsewhere}.",
        "",
    ]
    assert [bool(picture.source) for picture in pictures.values()] == [False, False, False, True]


def test_the_first_pictures_have_the_room_and_a_smaller_one_may_still_fit() -> None:
    store = stored(first=PNG + bytes(40), second=PNG + bytes(40), small=PNG)
    room = sum(len(embed_pictures(store, [uri])[uri].source) for uri in uris("first", "small"))

    pictures = embed_pictures(store, uris("first", "second", "small"), most_characters=room)

    assert [bool(picture.source) for picture in pictures.values()] == [True, False, True]
    assert (
        pictures[uris("second")[0]].absence == f"left out: the pictures of the page would take more than {room} bytes"
    )
    assert sum(len(picture.source) for picture in pictures.values()) == room
