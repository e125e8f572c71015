"""Words: singular and plural, synonyms, and which labels a phrase names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core import lexicon
from groundplane.core.lexicon import (
    PLURAL_ONLY,
    canonical,
    head_of,
    match_phrase,
    near_labels,
    normalise,
    plural,
    singular,
)

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def labels():
    """Every label of VSI-Bench's scenes and of COCO's categories."""
    scenes, instances = DATA / "vsi" / "scenes.json", DATA / "coco" / "instances.json"
    if not (scenes.exists() and instances.exists()):
        pytest.skip("needs ../shared/data/vsi/scenes.json and ../shared/data/coco/instances.json")
    counted = [scene["object_counts"] for scene in json.loads(scenes.read_text()).values()]
    categories = json.loads(instances.read_text())["categories"]
    return sorted(
        {label for counts in counted for label in counts} | {c["name"] for c in categories}
    )


def round_trips(label, to_plural=plural):
    one = normalise(label)
    return normalise(to_plural(one)) == one and normalise(one) == one


class TestNumber:
    def test_labels_of_the_data_round_trip(self):
        known = labels()

        assert len(known) > 100
        assert [label for label in known if not round_trips(label)] == []

    def test_a_wrong_plural_is_seen(self):
        assert not round_trips("knife", to_plural=lambda word: word[:-1] + "ven")

    @pytest.mark.parametrize(
        ("one", "many"),
        [
            ("chair", "chairs"), ("box", "boxes"), ("bench", "benches"), ("battery", "batteries"),
            ("key", "keys"), ("shelf", "shelves"), ("knife", "knives"), ("person", "people"),
            ("mouse", "mice"), ("bus", "buses"), ("glass", "glasses"), ("lens", "lenses"),
            ("mattress", "mattresses"), ("vase", "vases"), ("prize", "prizes"), ("sheep", "sheep"),
            ("scissors", "scissors"), ("furniture", "furniture"), ("potato", "potatoes"),
            ("scarf", "scarves"), ("canvas", "canvases"), ("tv", "tvs"),
            ("washing machine", "washing machines"), ("chest of drawers", "chests of drawers"),
            ("bottle of wine", "bottles of wine"), ("trash can", "trash cans"),
        ],
    )  # fmt: skip
    def test_one_and_many(self, one, many):
        assert plural(one) == many
        assert (normalise(many), normalise(one)) == (one, one)

    @pytest.mark.parametrize("word", ["bus", "gas", "glass", "is", "chess", "wc", "", "s"])
    def test_an_ending_in_s_is_not_always_a_plural(self, word):
        assert singular(word) == word

    @pytest.mark.parametrize("word", sorted(PLURAL_ONLY))
    def test_a_pair_is_its_own_plural(self, word):
        assert (singular(word), plural(word)) == (word, word)

    @pytest.mark.parametrize(
        ("phrase", "head"),
        [("chair", 0), ("dining table", 1), ("glass of water", 0), ("of", 0), ("top of", 1)],
    )
    def test_the_head_is_what_counts(self, phrase, head):
        assert head_of(phrase.split()) == head


class TestNormalise:
    @pytest.mark.parametrize(
        "phrase",
        ["trash can", "Trash-Cans", "the trash_can", " TRASH  CAN ", "trash can(s)",
         "every trash can", "trash can!"],
    )  # fmt: skip
    def test_one_form_for_many_spellings(self, phrase):
        assert normalise(phrase) == "trash can"

    def test_an_article_alone_is_kept(self):
        assert normalise("The") == "the"

    @given(st.text(max_size=30))
    def test_any_text_is_safe(self, text):
        assert normalise(text) == " ".join(normalise(text).split())

    @given(st.lists(st.sampled_from(["dining", "table", "tables", "sofa", "the"]), min_size=1))
    def test_once_is_enough(self, words):
        once = normalise(" ".join(words))

        assert normalise(once) == once


def overlaps(groups):
    """Words that stand in two groups, and canonical names that have another name."""
    owner = {}
    for group in groups:
        for word in {normalise(word) for word in group}:
            owner.setdefault(word, set()).add(normalise(group[0]))
    return {word: names for word, names in owner.items() if len(names) > 1}


class TestSynonyms:
    def test_no_word_is_in_two_groups(self):
        assert overlaps(lexicon._SYNONYMS) == {}

    def test_a_word_in_two_groups_is_seen(self):
        assert overlaps([("mouse", "mice"), ("computer mouse", "mouse")]) == {
            "mouse": {"mouse", "computer mouse"}
        }

    def test_every_group_has_two_words_or_more(self):
        assert all(len({normalise(word) for word in group}) > 1 for group in lexicon._SYNONYMS)

    @pytest.mark.parametrize("group", lexicon._SYNONYMS, ids=lambda group: group[0])
    def test_words_of_a_group_have_one_name_that_stays(self, group):
        assert {canonical(word) for word in group} == {normalise(group[0])}
        assert canonical(canonical(group[0])) == canonical(group[0])

    def test_labels_of_the_data_keep_apart(self):
        """Two labels of one scene that became one name would be counted together."""
        scenes = DATA / "vsi" / "scenes.json"
        if not scenes.exists():
            pytest.skip("needs ../shared/data/vsi/scenes.json")
        for scene in json.loads(scenes.read_text()).values():
            counts = scene["object_counts"]
            assert len({canonical(label) for label in counts}) == len(counts), sorted(counts)


class TestMatchPhrase:
    @pytest.mark.parametrize(
        ("phrase", "known", "found", "how", "left"),
        [
            ("the couches", ["sofa", "sofa bed"], ("sofa",), "synonym", ()),
            ("sofa", ["couch", "sofa"], ("sofa",), "exact", ()),
            ("Lamps", ["desk lamp", "floor lamp", "desk"], ("desk lamp", "floor lamp"), "kind", ()),
            ("lights", ["table lamp"], ("table lamp",), "kind", ()),
            ("lamp", ["lamp", "table lamp"], ("lamp",), "exact", ()),
            ("blue chair", ["chair"], ("chair",), "part", ("blue",)),
            ("big blue couch", ["sofa"], ("sofa",), "part", ("big", "blue")),
            ("mice", ["computer mouse"], ("computer mouse",), "synonym", ()),
            ("chests of drawers", ["dresser"], ("dresser",), "synonym", ()),
        ],
    )  # fmt: skip
    def test_the_narrowest_rule_that_holds(self, phrase, known, found, how, left):
        match = match_phrase(phrase, known)

        assert (match.labels, match.how, match.modifiers) == (found, how, left)

    @pytest.mark.parametrize(
        ("phrase", "known"),
        [("unicorn", ["chair"]), ("dog", ["hot dog"]), ("bear", ["teddy bear"]), ("chair", []),
         ("table", ["tablet"]), ("", ["chair"]), ("table lamp", ["lamps table"])],
    )  # fmt: skip
    def test_nothing_is_widened_silently(self, phrase, known):
        assert match_phrase(phrase, known) is None

    def test_a_label_given_twice_is_named_once(self):
        assert match_phrase("chair", ["chair", "chair"]).labels == ("chair",)

    @given(
        st.sampled_from([g for g in lexicon._SYNONYMS if len(set(map(normalise, g))) > 1]),
        st.lists(st.sampled_from(["table", "small window", "hat"]), unique=True, max_size=3),
        st.data(),
    )
    def test_exact_beats_synonym_beats_kind(self, group, others, data):
        words = sorted({normalise(word) for word in group})
        word, other = words[0], words[1]
        kind = f"zebra {word}"
        order = data.draw(st.permutations([word, other, kind, *others]))

        def how(known):
            match = match_phrase(word, [label for label in order if label in known])
            return (match.how, match.labels)

        assert how([*order]) == ("exact", (word,))
        assert how([other, kind]) == ("synonym", (other,))
        assert how([kind]) == ("kind", (kind,))


@pytest.mark.parametrize(
    ("phrase", "known", "near"),
    [
        ("refridgerator", ["refrigerator", "sofa"], ("refrigerator",)),
        ("table", ["table lamp", "sofa"], ("table lamp",)),
        ("unicorn", ["chair"], ()),
        ("chair", ["chairs a", "chair b", "chair c", "chair d"], 3),
    ],
)
def test_hints_look_like_the_phrase(phrase, known, near):
    found = near_labels(phrase, known)

    assert len(found) == near if isinstance(near, int) else found == near
