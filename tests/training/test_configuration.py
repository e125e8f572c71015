import json

import pytest

from groundplane.core.errors import InputError
from groundplane.training.configuration import read_config

MINIMAL = """
output = "out"
language_model = "lm"
[[encoders]]
name = "clip"
options = { weights = "clip" }
[stage1]
data = "data.json"
"""


def written(folder, text, name="train.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "clip").mkdir()
    config = read_config(written(tmp_path, MINIMAL))
    assert config.output == tmp_path / "out"
    assert config.stage1.data == tmp_path / "data.json"
    assert config.encoders[0].options["weights"] == str(tmp_path / "clip")


def test_weights_of_a_hub_stay_as_they_are(tmp_path):
    config = read_config(written(tmp_path, MINIMAL.replace('"clip" }', '"openai/clip" }')))
    assert config.encoders[0].options == {"weights": "openai/clip"}


def test_stages_have_their_published_values(tmp_path):
    text = MINIMAL + '[stage2]\ndata = "b.json"\n'
    stages = read_config(written(tmp_path, text)).stages
    assert list(stages) == ["stage1", "stage2"]
    assert (stages["stage1"].train, stages["stage1"].lr, stages["stage1"].fit) == (
        *("adapters", 1e-3),
        None,
    )
    assert (stages["stage2"].train, stages["stage2"].lr, stages["stage2"].fit) == (
        *("language_model", 2e-5),
        "pad",
    )


def test_json_gives_what_toml_gives(tmp_path):
    table = {
        "output": "out",
        "language_model": "lm",
        "encoders": [{"name": "clip", "options": {"weights": "clip"}}],
        "stage1": {"data": "data.json"},
    }
    got = read_config(written(tmp_path, json.dumps(table), "train.json"))
    assert got.to_json() == read_config(written(tmp_path, MINIMAL)).to_json()


def test_fusion_replay_and_lora_are_read(tmp_path):
    text = MINIMAL + (
        '[stage2]\ndata = "b.json"\ntrain = "lora"\n'
        'replay = { file = "text.json", share = 0.25 }\nlora = { rank = 4, targets = ["q_proj"] }\n'
        '[fusion]\nname = "additive"\nprojector = "linear"\noptions = { shares = [0.5, 0.5] }\n'
    )
    config = read_config(written(tmp_path, text))
    assert config.fusion.name == "additive"
    assert config.fusion.projector.kind == "linear"
    assert config.fusion.options == {"shares": [0.5, 0.5]}
    assert config.stage2.replay.share == 0.25
    assert config.stage2.replay.file == tmp_path / "text.json"
    assert (config.stage2.lora.rank, config.stage2.lora.targets) == (4, ("q_proj",))


def test_steps_of_the_optimiser_are_split_evenly(tmp_path):
    text = MINIMAL + "batch = 12\nmicro_batch = 4\n"
    assert read_config(written(tmp_path, text)).stage1.accumulation == 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[stage1]", "[stage3]"), "unknown key 'stage3'.*Did you mean 'stage"),
        (("[stage1]\n", "[stage1]\nlerning_rate = 1\nlr2 = 1\n"), "unknown key 'lerning_rate'"),
        (("[stage1]\n", "[stage1]\nmicrobatch = 1\n"), "Did you mean 'micro_batch'"),
        (("[stage1]\n", "[stage1]\nlr = nan\n"), r"\[stage1\].*lr.*expected a number.*nan"),
        (("[stage1]\n", "[stage1]\nlr = inf\n"), r"\[stage1\]: lr: expected a finite number"),
        (("[stage1]\n", "[stage1]\nlr = -1.0\n"), "finite number above 0, got -1"),
        (("[stage1]\n", "[stage1]\nlr = []\n"), "'lr': expected a number"),
        (("[stage1]\n", "[stage1]\nbatch = 10\nmicro_batch = 4\n"), "multiple of micro_batch, 4"),
        (("[stage1]\n", "[stage1]\nbatch = 0\n"), "batch: expected 1 or more, got 0"),
        (("[stage1]\n", "[stage1]\nepochs = 0\n"), "epochs: expected a finite number above 0"),
        (("[stage1]\n", "[stage1]\nwarmup = 1.0\n"), "warmup: expected 0 or more and below 1"),
        (
            ("[stage1]\n", '[stage1]\ntrain = "towers"\n'),
            "expected one of adapters, language_model",
        ),
        (("[stage1]\n", "[stage1]\nlora = { rank = 4 }\n"), "train is 'adapters', not 'lora'"),
        (("[stage1]\n", '[stage1]\nreplay = { file = "a", share = 2 }\n'), "replay: share: expect"),
        (("[stage1]\n", "[stage1]\nreplay = { share = 0.5 }\n"), "needs the key 'file'"),
        (("[stage1]\n", "[stage1]\nimages = ''\n"), "images: expected a path, got ''"),
        (('data = "data.json"', ""), r"\[stage1\]: needs the key 'data'"),
        (('output = "out"', ""), "needs the key 'output'"),
        (("[[encoders]]", "[[encoder]]"), "unknown key 'encoder'.*Did you mean 'encoders'"),
        (('[stage1]\ndata = "data.json"', ""), r"expected a table \[stage1\] or \[stage2\]"),
        (('name = "clip"', "name = 3"), "'name': expected text, got 3"),
        (('weights = "clip"', 'weights = "clip", device = "cpu"'), "'clip': no option device"),
        (("[stage1]", "[fusion]\nname = 3\n[stage1]"), "name: expected a name, got 3"),
        (("[stage1]", "[fusion]\nnam = 'additive'\n[stage1]"), "Did you mean 'name'"),
        (("[stage1]", "[stage1"), "expected TOML"),
        (('output = "out"', 'output = "out"\nseed = "x"'), "'seed': expected a whole number"),
    ],
)
def test_a_bad_config_is_refused_by_name(tmp_path, change, expected):
    assert change[0] in MINIMAL
    with pytest.raises(InputError, match=f"config 'train.toml'.*({expected})"):
        read_config(written(tmp_path, MINIMAL.replace(*change)))


def test_no_encoders_are_refused(tmp_path):
    table = {"output": "o", "language_model": "l", "encoders": [], "stage1": {"data": "d"}}
    with pytest.raises(InputError, match=r"expected one table \[\[encoders\]\] a tower"):
        read_config(written(tmp_path, json.dumps(table), "train.json"))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.yaml", b"x: 1", "expected a .toml or .json file"),
        ("a.json", b"[1]", "expected a table"),
        ("a.json", b"\xff", "expected JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.toml", b"# " + b"a" * 2**20, "at most 1048576 bytes"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path, name, data, expected):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=expected):
        read_config(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"'none\.toml': cannot be read: No such file"):
        read_config(tmp_path / "none.toml")
