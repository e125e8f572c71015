"""Stand-ins: a short name in place of a nested one, so that any form can read the question.

The forms know names such as `the lamp on the table`, not `the lamp that is both red and near the
door`, and not what `it` is after `There is a lamp on the desk.` A stand-in takes the place of such a
name in the text, and the nested expression takes the place of the stand-in in the query.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TypeVar, cast

from groundplane.core.expressions import Select, SetExpression, Unique
from groundplane.core.queries import phrases_of
from groundplane.spatial.questions.composing import introduce
from groundplane.spatial.questions.form import Context
from groundplane.spatial.questions.nested import NounReader
from groundplane.spatial.questions.phrases import PhraseError

__all__ = ["introduced", "put_back", "stand_in"]

# Names that nobody uses.
_IT, _NAMES = "antecedent", ("antecedentb", "antecedentc", "antecedentd")
_T = TypeVar("_T")


def introduced(text: str, context: Context) -> tuple[str, dict[str, SetExpression]] | None:
    """The question that is asked of `it`, with a stand-in for what a first sentence introduces.

    Examples:
        >>> text, things = introduced("there is a lamp on the desk. how tall is it", Context())
        >>> text, list(things)
        ('how tall is antecedent', ['antecedent'])
        >>> introduced("how tall is it", Context()) is None
        True
    """
    reader = NounReader(text, context)
    try:
        if not introduce(reader) or reader.it is None:
            return None
    except PhraseError:
        return None
    rest, changed = re.subn(r"\b(?:it|that one)\b", _IT, reader.rest)
    rest, owned = re.subn(r"\bits (\w+)\b", rf"the \1 of {_IT}", rest)
    return (rest, {_IT: reader.it}) if changed or owned else None


def stand_in(text: str, context: Context) -> tuple[str, dict[str, SetExpression]] | None:
    """The question with a stand-in for each name of one thing that something restricts.

    Examples:
        >>> text, things = stand_in("how tall is the cup that is both on the desk and near the tv",
        ...                         Context())
        >>> text
        'how tall is antecedentb'
        >>> stand_in("how tall is the cup", Context()) is None
        True
    """
    things: dict[str, SetExpression] = {}
    done, at = "", 0
    for article in re.finditer(r"\b(?:the|a|an) ", text):
        if article.start() < at or len(things) == len(_NAMES):
            continue
        reader = NounReader(text[article.start() :], context)
        try:
            thing = reader.phrase()
        except PhraseError:
            continue
        if isinstance(thing, Unique) and not isinstance(thing.source, Select):
            name = _NAMES[len(things)]
            things[name] = thing
            done += f"{text[at : article.start()]}{name} "
            at = article.start() + reader.mark
    return ((done + text[at:]).strip(), things) if things else None


def put_back(query: _T, things: Mapping[str, SetExpression]) -> _T | None:
    """A query with the things in place of their stand-ins; None if one was read as something else.

    Examples:
        >>> put_back((Unique(Select("antecedent")),), {"antecedent": Unique(Select("lamp"))})
        (Unique(source=Select(phrase='lamp')),)
        >>> put_back(Select("antecedent desk"), {"antecedent": Select("lamp")}) is None
        True
    """
    made = _put(query, things)
    left = " ".join(phrases_of(made)).split()
    used = _put(query, dict.fromkeys(things, Select("?")))
    return None if set(left) & set(things) or used == query else made


def _put(query: _T, things: Mapping[str, SetExpression]) -> _T:
    inner = query.source if isinstance(query, Unique) else query
    if isinstance(inner, Select) and (inner.phrase or "") in things:
        return cast(_T, things[inner.phrase or ""])
    if isinstance(query, tuple):
        return cast(_T, tuple(_put(part, things) for part in query))
    if not dataclasses.is_dataclass(query) or isinstance(query, type):
        return query
    parts = {f.name: _put(getattr(query, f.name), things) for f in dataclasses.fields(query)}
    return dataclasses.replace(query, **parts)
