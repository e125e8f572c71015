"""The scanner beneath the readers of maps: what it takes for a dictionary, and its bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.spatial.maps import loose_text
from groundplane.spatial.maps.loose_text import Entries, inside_tag, scan


def plain(value):
    """What was read, as JSON would give it; the last of equal keys counts."""
    if isinstance(value, Entries):
        return {key: plain(part) for key, part in value.pairs}
    return [plain(part) for part in value] if isinstance(value, list) else value


def kinds(text):
    return {problem.kind for problem in scan(text).problems.told()}


KEYS = st.text("abc XYZ0é椅_-:[{'", min_size=1, max_size=8).map(str.strip).filter(bool)
NUMBERS = st.integers(-999, 999) | st.floats(-1e6, 1e6)
VALUES = st.recursive(
    NUMBERS | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(max_examples=150, deadline=None)
def test_valid_json_is_read_as_json_reads_it(record):
    for text in (json.dumps(record), json.dumps(record, ensure_ascii=False, indent=1)):
        found = scan(text)
        assert [plain(root) for root in found.roots] == [json.loads(text)]
        assert found.problems.told() == ()


@pytest.mark.parametrize("end", range(1, 40))
def test_a_text_cut_anywhere_gives_the_pairs_that_were_whole(end):
    text = '{"a": [1, 2], "b": [3, 4], "c": [5, 6]}'
    pairs = dict(plain(scan(text[:end]).roots[0]))

    for key, value in {"a": [1, 2], "b": [3, 4], "c": [5, 6]}.items():
        if end > text.index(f'"{key}"') + 10:
            assert pairs[key] == value
    assert ("truncated" in kinds(text[:end])) == (end < len(text))


def test_deep_brackets_are_passed_over_and_told():
    text = '{"deep": ' + "[" * 50 + "1" + "]" * 50 + ', "b": [1, 2]}'

    assert plain(scan(text).roots[0])["b"] == [1, 2]
    assert kinds(text) == {"depth"}


def test_a_text_with_too_many_parts_is_read_in_part(monkeypatch):
    monkeypatch.setattr(loose_text, "TOKEN_LIMIT", 10)
    found = scan('{"a": [1, 2], "b": [3, 4], "c": [5, 6]}')

    assert plain(found.roots[0])["a"] == [1, 2]
    assert "size" in {problem.kind for problem in found.problems.told()}
    assert all(problem.lost for problem in found.problems.told())


def test_a_text_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(loose_text, "TEXT_LIMIT", 5)

    with pytest.raises(InputError, match="at most 5 characters, got 6"):
        scan("{'a':}")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\u6905", "椅"),
        (r"a\"b", 'a"b'),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d", "\ufffd"),
        (r"\\", "\\"),
    ],
)
def test_escapes_are_resolved(written, meant):
    assert scan(f'{{"{written}": 1}}').roots[0].pairs == ((meant, 1),)


def test_problems_come_in_the_order_of_the_text():
    told = scan("{'a': [1 2], b: (3, 4]}").problems.told()

    assert [problem.at for problem in told] == sorted(problem.at for problem in told)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("<cogmap>{a}</cogmap>", "{a}"),
        ("<COGMAP>{a}</Cogmap>b", "{a}"),
        ("<cogmap>{a}</cogmap> <cogmap>{b}", "{b}"),
        ("<cogmap>{a}</cogmap> the <cogmap> shows", "{a}"),
        ("<cogmap>none</cogmap> {a}", "<cogmap>none</cogmap> {a}"),
        ("{a}</cogmap>", "{a}</cogmap>"),
        ("İ<cogmap>{a}</cogmap>", "{a}"),
    ],
)
def test_the_last_tag_with_a_dictionary_counts_and_need_not_end(text, inner):
    assert inside_tag(text, "cogmap") == inner
