import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from groundplane.core.errors import InputError
from groundplane.training import samples as module
from groundplane.training.samples import Sample, mix_in, read_samples


def talk(question="<image>\nWhat is it?", answer="A cup."):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def item(name="a", image="a.png", **changes):
    return {"id": name, "image": image, "conversations": talk()} | changes


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


def written(folder, items, name="data.json"):
    text = items if isinstance(items, str) else json.dumps(items, ensure_ascii=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_sample_has_its_turns_and_pictures(folder):
    samples, skipped = read_samples(written(folder, [item()]))
    assert skipped == []
    assert samples[0].images == (folder / "a.png",)
    assert samples[0].turns == (("user", "<image>\nWhat is it?"), ("assistant", "A cup."))
    assert samples[0].name == "data 'data.json': [0] (id a)"


def test_pictures_may_lie_in_another_folder(folder, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("other"), [item()])
    assert read_samples(path, images=folder)[0][0].images == (folder / "a.png",)


def test_lines_give_what_a_list_gives(folder):
    items = [item("a"), item("b"), item("c", conversations=talk("<image>桌子在哪?", "👩‍🚀左"))]
    lines = written(folder, "\n".join(json.dumps(i) for i in items), "data.jsonl")
    turns = [sample.turns for sample in read_samples(lines)[0]]
    assert turns == [sample.turns for sample in read_samples(written(folder, items))[0]]


def test_text_alone_and_several_pictures_are_samples(folder):
    items = [
        {"id": 3, "conversations": talk("Hello", "Hi.")},
        item(image=["a.png", "a.png"], conversations=talk("<image> or <image>?", "Both.")),
    ]
    assert [len(s.images) for s in read_samples(written(folder, items))[0]] == [0, 2]


def test_a_system_turn_may_come_first(folder):
    turns = [{"from": "system", "value": "Be brief."}, *talk()]
    sample = read_samples(written(folder, [item(conversations=turns)]))[0][0]
    assert [turn.role for turn in sample.turns] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([3], r"\[1\]: expected an object, got 3"),
        (item(image="none.png"), r"\[1\] \(id a\): the picture .*none.png is not there"),
        (item(image=3), "image: expected a file name, got 3"),
        (item(image=""), "image: expected a file name"),
        (item(image="a\0b"), "image: expected a file name"),
        (item(conversations=[]), "conversations: expected a list of turns"),
        (item(conversations=talk()[:1]), "in turn, gpt last, got user"),
        (item(conversations=talk()[::-1]), "in turn, gpt last, got assistant, user"),
        (item(conversations=[3]), r"conversations\[0\]: expected an object"),
        (item(conversations=[{"from": "dog", "value": "x"}]), "expected human or gpt, got 'dog'"),
        (item(conversations=[{"from": [], "value": "x"}]), "expected human or gpt"),
        (item(conversations=[{"from": "human", "value": " "}]), "value: expected text, got ' '"),
        (item(conversations=[{"from": "human"}]), "value: expected text, got None"),
        (item(conversations=talk("Where?")), "once for each of its 1 pictures, got it 0 times"),
        (item(conversations=talk("<image><image>")), "got it 2 times"),
        (item(image="a" * 300), "aaa: File name too long"),
        (item(conversations=talk(answer="\ud800")), "half of a surrogate pair"),
        (item(image=None), "once for each of its 0 pictures, got it 1 times"),
        (item(conversations=talk(answer="<image>")), "only a human turn can show <image>"),
    ],
)
def test_a_bad_sample_is_refused_and_named_or_skipped(folder, bad, expected):
    bad = bad[0] if isinstance(bad, list) else bad
    path = written(folder, [item(), bad])
    with pytest.raises(InputError, match=rf"^1 of 2 samples cannot be used: .*{expected}"):
        read_samples(path)
    samples, skipped = read_samples(path, skip=True)
    assert (len(samples), len(skipped)) == (1, 1)


def test_a_picture_that_cannot_be_decoded_is_left_out_up_front(folder):
    Image.effect_noise((64, 64), 50).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:900])
    (folder / "page.png").write_text("<html>404 Not Found</html>")
    (folder / "none.png").write_bytes(b"")
    names = ("cut.png", "page.png", "none.png")
    path = written(folder, [item(), *(item(name, name) for name in names)])
    samples, skipped = read_samples(path, skip=True)
    assert [sample.images[0].name for sample in samples] == ["a.png"]
    assert [one.name[-11:].split()[-1] for one in skipped] == [f"{name})" for name in names]
    assert "broken or cut off" in skipped[0].reason
    assert "not a picture" in skipped[1].reason


def test_where_no_sample_is_left_it_is_said_why(folder):
    with pytest.raises(InputError, match=r"no sample that can be used: .*x.png is not there"):
        read_samples(written(folder, [item(image="x.png")]), skip=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no sample"),
        ("[]", "holds no sample"),
        ("[{}", "ends within|not JSON"),
        ("[{} {}]", r"expected a comma after \[0\]"),
        ("[{},]", r"\[1\]: not JSON"),
        ("[{}] 3", "more follows after the list"),
        ("{'a': 1}", r"\[0\]: not JSON"),
        ("[" + "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_list_of_samples_is_refused(folder, text, expected):
    with pytest.raises(InputError, match=expected):
        read_samples(written(folder, text), skip=True)


def test_what_is_no_utf8_or_no_file_is_refused(folder):
    (folder / "x.json").write_bytes(b'[{"id": "\xff"}]')
    with pytest.raises(InputError, match="not UTF-8"):
        read_samples(folder / "x.json")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_samples(folder / "none.json")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    items=st.lists(_VALUES, max_size=6),
    chunk=st.integers(1, 9),
    indent=st.sampled_from([None, 1]),
    lines=st.booleans(),
)
def test_reading_in_parts_gives_what_reading_at_once_gives(tmp_path_factory, **given_):
    items, lines = given_["items"], given_["lines"]
    if lines and items and isinstance(items[0], list):
        items = items[1:]  # a first line with a list would be the list of samples itself
        lines = not (items and isinstance(items[0], list))
    dump = [json.dumps(i, ensure_ascii=False) for i in items]
    text = "\n".join(dump) if lines else json.dumps(items, indent=given_["indent"])
    path = written(tmp_path_factory.mktemp("parts"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", given_["chunk"])
        assert list(module._items(path, "x")) == items


def made(names):
    return [Sample(name=name, turns=(), images=()) for name in names]


@given(num=st.integers(1, 60), old=st.integers(1, 20), share=st.floats(0.02, 0.9))
def test_replay_is_its_share_and_uses_all_before_any_twice(num, old, share):
    new, replay = made(map(str, range(num))), made(f"r{i}" for i in range(old))
    mixed = mix_in(new, replay, share=share, seed=1)
    added = [sample.name for sample in mixed[num:]]
    assert mixed[:num] == new
    assert abs(len(added) - share * len(mixed)) <= 1
    counts = [added.count(sample.name) for sample in replay]
    assert max(counts) - min(counts) <= 1


def test_the_same_seed_replays_the_same():
    new, old = made("abcdef"), made("tuvwxyz")
    first, second, other = (
        [s.name for s in mix_in(new, old, share=0.4, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == second != other
