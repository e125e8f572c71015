"""From English text to claims that can be checked, each with its characters in the text.

What is read: that things are there (`there is a dog`), how many (`two dogs`, `no cats`), what they
are like (`a red car`), how they stand to each other (`a cup on the table`) and what they measure
(`2 m from the door`). What is not read - questions, guesses, moods, what somebody does - is listed
with its characters and the reason, never dropped.

The kinds of claims follow Woodpecker (Yin et al., 2023), which lets a language model find them;
here a grammar does, so that the same text always gives the same claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from groundplane.core.claims import Claim, RelationReader
from groundplane.core.errors import InputError
from groundplane.core.lexicon import normalise
from groundplane.grounding.claim_grammar import Sentence
from groundplane.grounding.claim_ledger import Ledger
from groundplane.grounding.claim_words import sentences_of

__all__ = ["MAX_CHARACTERS", "ReadText", "Unread", "read_claims"]

# Far more than any model says of one picture.
MAX_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A stretch of text that claims nothing we can check.

    Attributes:
        span: First character and one past the last.
        text: Its words.
        reason: Why it is no claim.
    """

    span: tuple[int, int]
    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadText:
    """A text and what it claims.

    Attributes:
        text: As given.
        claims: In the order in which they are made.
        unread: The rest, in order.
    """

    text: str
    claims: tuple[Claim, ...]
    unread: tuple[Unread, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        """What an expert has to look for to check the claims, each once."""
        phrases: dict[str, None] = {}
        for claim in self.claims:
            for thing in (claim.subject, *claim.anchors):
                phrases[thing.noun] = None
                if thing.modifiers and claim.kind != "attribute":
                    phrases[thing.phrase] = None
            if claim.kind == "attribute":
                phrases[f"{claim.value} {claim.subject.noun}"] = None
        return tuple(phrases)


def read_claims(text: str, *, relations: RelationReader, nouns: Iterable[str] = ()) -> ReadText:
    """Read what a text claims.

    Args:
        text: English; sentences, lists, anything.
        relations: Knows the wordings of relations.
        nouns: Names of things that may be meant, such as an expert's vocabulary.

    Raises:
        InputError: If it is no text, or longer than `MAX_CHARACTERS`.

    Examples:
        >>> from groundplane.spatial.claim_relations import Wordings
        >>> read = read_claims("There are two dogs left of a red car.", relations=Wordings())
        >>> [(claim.kind, claim.text) for claim in read.claims]
        [('count', 'two dogs'), ('exists', 'a red car'), ('attribute', 'a red car'), \
('relation', 'two dogs left of a red car')]
        >>> read_claims("", relations=Wordings()).claims
        ()
    """
    if not isinstance(text, str):
        raise InputError(f"text: expected text, got {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"text: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}; "
            "verify it in parts"
        )
    ledger = Ledger(text=text, find=relations.find, nouns=frozenset(map(normalise, nouns)))
    for words in sentences_of(text):
        Sentence(words, ledger).read()
    unread = tuple(
        Unread(span=span, text=" ".join(text[span[0] : span[1]].split()), reason=reason)
        for span, reason in sorted(ledger.unread)
    )
    return ReadText(text=text, claims=tuple(ledger.claims), unread=unread)
