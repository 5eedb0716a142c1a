"""Model cards: what a version is, what it is for, how good it is and what became of it, for people.

Derived from the version, the records of the run that decided about it, and the journal; nothing reads them back.

References:
    Mitchell et al., 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.config import ClassifierConfig
from include.retraining.registry import is_version_name
from include.retraining.reporting.card_facts import CardFacts, gather_card, read_chronicle
from include.retraining.reporting.card_sections import document_of
from include.retraining.reporting.markdown import to_markdown
from include.retraining.reporting.templating import make_environment
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import content_type_of

logger = logging.getLogger(__name__)

MARKDOWN, HTML = "card.md", "card.html"


@dataclass(frozen=True)
class Card:
    """A model card in both its forms."""

    markdown: str
    html: str


def publish_cards(config: ClassifierConfig, store: ObjectStore, versions: Sequence[str]) -> None:
    """Writes the cards of versions as things are now.

    Side effects:
        `card.md` and `card.html` of each are overwritten. What a card lacks, since it cannot be read, is logged.
    """
    chronicle = read_chronicle(store, config.name)
    for version in versions:
        if not is_version_name(version):
            logger.warning("no card for what is not the name of a version name=%.100r", version)
            continue
        facts = gather_card(config, store, version, chronicle)
        for problem in facts.problems:
            logger.warning("card incomplete version=%s problem=%s", version, problem)
        card = _card(facts)
        for name, body in ((MARKDOWN, card.markdown), (HTML, card.html)):
            key = f"{layout.card(config.name, version)}{name}"
            store.put(key, body.encode(), content_type=content_type_of(name))


def _card(facts: CardFacts) -> Card:
    document = document_of(facts)
    page = make_environment().get_template("card.html.j2").render(document=document, classifier=facts.classifier)
    return Card(to_markdown(document), page)
