"""Prompts of every form lead to one table; bad ones are refused by name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.annotation import prompts
from groundplane.annotation.prompts import read_prompts, with_thresholds
from groundplane.core.annotation import AnnotationPrompt
from groundplane.core.errors import InputError

HARD = ["man", "woman", "car", "Car", "cargo ship", "t-shirt", "St. Bernard"]


def leads(table):
    """Each prompt and the name of its class."""
    return {p.text: table.names[p.class_id] if p.class_id >= 0 else None for p in table.prompts}


@pytest.mark.parametrize(
    "text", ["dog, red  car ,person: walker", "dog\uff1bred car\u3001person\uff1awalker\n"]
)
def test_text_lists_prompts_and_their_classes(text):
    table = read_prompts(text)
    assert table.names == ("dog", "red car", "walker")
    assert leads(table) == {"dog": "dog", "red car": "red car", "person": "walker"}


def test_several_prompts_lead_to_one_class_in_the_order_of_first_appearance():
    table = read_prompts("rider: person, dog, walker: person")
    assert table.names == ("person", "dog")
    assert [prompt.class_id for prompt in table.prompts] == [0, 1, 0]


@pytest.mark.parametrize("given", ["junk:", ["junk: "], {"junk": None}, {"junk": ""}])
def test_empty_class_is_unmapped(given):
    table = read_prompts(given)
    assert table.names == ()
    assert table.prompts == (AnnotationPrompt(text="junk", class_id=-1),)


@pytest.mark.parametrize(
    "given",
    [
        ", ".join(HARD),
        HARD,
        tuple(HARD),
        {name: name for name in HARD},
        {name: [name] for name in HARD},
        dict(enumerate(HARD)),
        {"names": dict(enumerate(HARD))},
        {"names": HARD, "path": "x", "nc": 7},
        {"categories": [{"id": 3 * i, "name": name} for i, name in enumerate(HARD)]},
        [{"prompt": name} for name in HARD],
    ],
)
def test_each_form_keeps_names_exactly(given):
    table = read_prompts(given)
    assert table.names == tuple(HARD)
    assert leads(table) == {name: name for name in HARD}


def test_comma_in_an_entry_of_a_list_is_a_part_of_the_prompt():
    assert read_prompts(["tench, Tinca tinca"]).names == ("tench, Tinca tinca",)


def test_last_colon_of_an_entry_counts():
    assert leads(read_prompts(["sign 3:4: sign"])) == {"sign 3:4": "sign"}


def test_mapping_of_ids_gives_their_order():
    assert read_prompts({2: "c", 0: "a", 1: "b"}).names == ("a", "b", "c")


def test_records_carry_thresholds():
    table = read_prompts(
        [{"prompt": "dog", "threshold": 0.4}, {"prompt": "cat", "class": "pet"}, "cow"]
    )
    assert [p.threshold for p in table.prompts] == [0.4, None, None]
    assert table.names == ("dog", "pet", "cow")
    assert read_prompts({"dog": {"class": "pet", "threshold": 0.25}}).prompts[0].threshold == 0.25


def test_classes_fix_ids_and_no_prompt_leads_elsewhere():
    table = read_prompts("walker: person, dog", classes=["car", "dog", "person"])
    assert table.names == ("car", "dog", "person")
    assert [prompt.class_id for prompt in table.prompts] == [2, 1]
    with pytest.raises(InputError, match=r"'persn', which is none .* Did you mean 'person'"):
        read_prompts("walker: persn", classes=["person"])


def test_no_prompts_looks_for_all_classes():
    assert read_prompts(None, classes={"person": ["walker", "rider"]}).prompts[1].text == "rider"


def test_table_goes_through():
    table = read_prompts("dog, cat: pet")
    assert read_prompts(table) == table


def test_1203_classes_keep_their_places():
    names = [f"class {i}" for i in range(1203)]
    assert read_prompts(names).names == tuple(names)


FILES = {
    "classes.txt": "\ufeff# ours\r\ncar\r\n\r\nwalker: person\r\ntench, Tinca tinca\r\nno\r\n",
    "classes.json": '["car", "walker: person", "tench, Tinca tinca", "no"]',
    "map.json": '{"car": "car", "walker": "person", "tench, Tinca tinca": '
    '"tench, Tinca tinca", "no": "no"}',
    "classes.yaml": "- car\n- 'walker: person'\n- tench, Tinca tinca\n- no\n",
    "map.yml": "car: car\nwalker: person\ntench, Tinca tinca: tench, Tinca tinca\nno: no\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_each_kind_give_the_same_table(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name].encode())
    assert leads(read_prompts(path)) == {
        "car": "car",
        "walker": "person",
        "tench, Tinca tinca": "tench, Tinca tinca",
        "no": "no",
    }


@pytest.mark.parametrize(
    "names", ["names: [person, Car, no]", "names:\n 1: Car\n 0: person\n 2: no"]
)
def test_data_yaml_of_ultralytics_keeps_its_ids(tmp_path, names):
    path = tmp_path / "data.yaml"
    path.write_text(f"path: ../x\ntrain: images/train\nnc: 3\n{names}\n")
    assert read_prompts(path).names == ("person", "Car", "no")


def test_categories_of_a_coco_file_keep_their_order(data_dir):
    path = data_dir / "coco" / "instances.json"
    if not path.is_file():
        path = next((data_dir / "coco").rglob("instances*.json"))
    if path.stat().st_size > 4 * 2**20:
        pytest.skip("the file is larger than a class file may be")
    given = json.loads(path.read_text())
    assert list(read_prompts(path).names) == [c["name"] for c in given["categories"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "name what to look for"),
        (" ,;、\n", "name what to look for"),
        ([], "name what to look for"),
        ({}, "name what to look for"),
        (None, "name what to look for"),
        (":", "prompt before the colon"),
        (": dog", "prompt before the colon"),
        ("dog, dog", "prompt 'dog' stands twice"),
        ("dog: a, dog: b", "prompt 'dog' stands twice"),
        ({"a": ["dog"], "b": ["dog"]}, "prompt 'dog' stands twice"),
        ({0: "a", 1: "a"}, "prompt 'a' stands twice"),
        ({0: "a", 2: "b"}, "1 is missing"),
        ({True: "a"}, "expected an id"),
        ({"names": {"x": "a"}}, "expected an id"),
        ({"names": [3]}, "expected a name as a text, got 3"),
        ({"names": [{"name": "a"}]}, "expected a name as a text"),
        ({"a": "b", "c": ["d"]}, "both in one mapping"),
        ({"a": 3}, "class of 'a' as a text, got 3"),
        ([3], "prompt as a text, got 3"),
        ([["dog"]], "prompt as a text"),
        ([b"dog"], "prompt as a text"),
        (b"dog", "got bytes"),
        (3, "got int"),
        ({"categories": [{"id": 1}]}, "a name as a text, got None"),
        ([{"text": "dog"}], "expected a record"),
        ([{"prompt": "dog", "treshold": 0.4}], "expected a record"),
        ([{"prompt": "dog", "threshold": "x"}], "expected a number"),
        ([{"prompt": "dog", "threshold": True}], "expected a number"),
        ([{"prompt": "dog", "threshold": float("nan")}], "from 0 to 1"),
        ("d\ud800g", "control character"),
        ("d\0g", "control character"),
        (["\x1b[31mdog"], "control character"),
        ("x" * 1001, "longer than 1000"),
    ],
)
def test_bad_prompts_are_refused(given, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        read_prompts(given)


def test_more_prompts_than_a_run_holds_are_refused(monkeypatch):
    monkeypatch.setattr(prompts, "_MOST", 100)
    assert len(read_prompts([str(i) for i in range(50)]).names) == 50
    with pytest.raises(InputError, match="more than 100"):
        read_prompts([str(i) for i in range(51)])


def test_name_of_a_file_in_a_text_is_refused(tmp_path, monkeypatch):
    (tmp_path / "classes.txt").write_text("dog")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        read_prompts("classes.txt")


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(3))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("c.csv", b"dog", "ends in"),
        ("c.txt", b"", "name what to look for"),
        ("c.txt", b"# dog\n", "name what to look for"),
        ("c.txt", "dog".encode("utf-16"), "not UTF-8"),
        ("c.txt", b"caf\xe9", "not UTF-8"),
        ("c.txt", b"x\n" * (2 * 2**20 + 1), "larger than 4 MB"),
        ("c.json", b"", "expected JSON"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.json", b'{"a": "b", "a": "c"}', "'a' stands twice"),
        ("c.json", b"[NaN]", "NaN is no value"),
        ("c.json", b"[" + b"9" * 5000 + b"]", "expected JSON"),
        ("c.json", b'"dog"', "got str"),
        ("c.json", b'["\\ud800"]', "control character"),
        ("c.yaml", b"", "name what to look for"),
        ("c.yaml", b"a: b\na: c", "'a' stands twice"),
        ("c.yaml", BOMB.encode(), "anchors"),
        ("c.yaml", b"- *x", "anchors"),
        ("c.yaml", b"- !!python/object/apply:os.system [ls]", "the tag"),
        ("c.yaml", b"- !!binary aGk=", "the tag"),
        ("c.yaml", b"[" * 10_000, "nested too deeply"),
        ("c.yaml", b"a: [b", "expected YAML"),
        ("c.yaml", b"- a\n---\n- b", "several"),
        ("c.yaml", b"? [a]\n: b", "keys that are texts"),
        ("c.yaml", b"- a\0b", "expected YAML"),
    ],
)
def test_bad_class_files_are_refused_by_name(tmp_path, name, data, said):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as refused:
        read_prompts(path)
    assert name in str(refused.value) or "name what to look for" in said
    assert "\n" not in str(refused.value)


def test_class_file_that_is_not_there_or_a_folder_is_refused(tmp_path):
    (tmp_path / "d.txt").mkdir()
    for path in (tmp_path / "none.txt", tmp_path / "d.txt", Path("a\0.txt")):
        with pytest.raises(InputError, match="class file"):
            read_prompts(path)


def test_prompt_threshold_goes_before_class_before_general():
    table = with_thresholds(
        read_prompts("walker: person, rider: person, dog, cat"), ["0.2", "person=0.3", "rider=0.4"]
    )
    assert [prompt.threshold for prompt in table.prompts] == [0.3, 0.4, 0.2, 0.2]


def test_general_threshold_leaves_what_is_set():
    table = read_prompts([{"prompt": "dog", "threshold": 0.4}, "cat"], thresholds=0.1)
    assert [prompt.threshold for prompt in table.prompts] == [0.4, 0.1]
    assert with_thresholds(table, {"dog": 0.6}).prompts[0].threshold == 0.6


def test_name_with_an_equals_sign_has_a_threshold():
    assert with_thresholds(read_prompts(["a=b"]), "a=b=0.5").prompts[0].threshold == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x", "expected a number"),
        ("dig=0.4", "Did you mean 'dog'"),
        ("dog=", "expected a number"),
        ("dog=nan", "from 0 to 1"),
        ("1.1", "from 0 to 1"),
        (-0.1, "from 0 to 1"),
        ({"dog": 10**400}, "expected a number"),
        ("=0.4", "empty text"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_thresholds_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        with_thresholds(read_prompts("dog"), given)


WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(
    lambda text: " ".join(text.split())
)


@given(
    st.lists(
        WORDS.filter(lambda text: text not in ("", "names")), min_size=1, max_size=8, unique=True
    )
)
def test_any_names_of_any_script_stand_as_given(names):
    table = read_prompts({name: name for name in names})
    assert table.names == tuple(names)
    assert read_prompts(json.loads(json.dumps({name: [name] for name in names}))) == table


@given(st.text())
def test_any_text_gives_a_table_or_is_refused_in_one_line(text):
    try:
        said = " ".join(read_prompts(text).names)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
