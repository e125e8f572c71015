"""Files and folders that were made to harm whoever loads them: none is loaded, nothing runs."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from groundplane.core import checkpoints
from groundplane.core.checkpoints import check_folder, check_tensors, read_settings
from groundplane.core.errors import WeightsError
from groundplane.core.weights import find_weights, load_model, load_processor, read_state
from groundplane.testing.checkpoints_owlv2 import save_owlv2

WHO = "detector 'x'"
FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "300"))


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def header(entries, data=b"", *, length=None):
    """A safetensors file of any header."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start=0, end=4, *, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def zipped(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return stream.getvalue()


def saved_by_torch(thing):
    stream = io.BytesIO()
    torch.save(thing, stream)
    return stream.getvalue()


def hostile_files(canary):
    """Name and content; the names say what is wrong."""
    evil = [pickle.dumps(Runs(canary), protocol) for protocol in range(6)]
    whole = header({"a": tensor()}, b"\0" * 4)
    pickles = {f"protocol-{i}": content for i, content in enumerate(evil)}
    pickles |= {"stacked": evil[2] * 3, "in-torch": saved_by_torch(Runs(canary))}
    pickles |= {"zip": zipped(evil[2]), "after-zeros": b"\0" * 8 + evil[2]}
    pickles |= {"legacy": saved_by_torch({"a": torch.ones(1)})}
    bad = {f"{name}.safetensors": content for name, content in pickles.items()}
    bad |= {f"{name}.bin": content for name, content in list(pickles.items())[:4]}
    bad |= {"x.pt": evil[2], "x.pth": evil[4], "x.ckpt": evil[2], "x.pkl": evil[0]}
    bad |= {"x.PTH": evil[2], "x.joblib": evil[2], "x.pickle": evil[2]}
    malformed = {
        "empty": b"",
        "seven-bytes": b"\1" * 7,
        "no-header": struct.pack("<Q", 0),
        "cut-header": whole[:20],
        "cut-data": whole[:-1],
        "more-data": whole + b"\0",
        "polyglot-zip": whole + zipped(evil[2]),
        "negative-length": struct.pack("<q", -1) + whole[8:],
        "large-length": header({"a": tensor()}, length=100_000_000),
        "huge-length": header({"a": tensor()}, length=2**63),
        "overlap": header({"a": tensor(), "b": tensor(2, 6)}, b"\0" * 6),
        "same-bytes": header({"a": tensor(), "b": tensor()}, b"\0" * 4),
        "gap": header({"a": tensor(), "b": tensor(8, 12)}, b"\0" * 12),
        "backwards": header({"a": tensor(4, 0)}, b"\0" * 4),
        "negative-offset": header({"a": tensor(-4, 0)}, b"\0" * 4),
        "outside": header({"a": tensor(0, 400)}, b"\0" * 4),
        "offset-is-text": header({"a": tensor() | {"data_offsets": ["0", "4"]}}, b"\0" * 4),
        "offset-is-true": header({"a": tensor() | {"data_offsets": [False, 4]}}, b"\0" * 4),
        "no-offsets": header({"a": {"dtype": "F32", "shape": [1]}}, b"\0" * 4),
        "shape-lies": header({"a": tensor(shape=(1000, 1000))}, b"\0" * 4),
        "negative-shape": header({"a": tensor(shape=(-1,))}, b"\0" * 4),
        "huge-shape": header({"a": tensor(shape=(2**40, 2**40))}, b"\0" * 4),
        "no-such-type": header({"a": tensor(dtype="PICKLE")}, b"\0" * 4),
        "list": header([1, 2, 3]),
        "null": header(b"null"),
        "not-json": header(b"{'a': open('x')}"),
        "not-text": header(b'{"\xff\xfe": 1}'),
        "deep": header(b'{"a":' * 50_000),
        "deep-lists": header(b"[" * 200_000),
        "long-number": header(b'{"a": ' + b"9" * 10_000 + b"}"),
    }
    return bad | {f"{name}.safetensors": content for name, content in malformed.items()}


NAMES = sorted(hostile_files("nowhere"))


@pytest.fixture(scope="module")
def owlv2(tmp_path_factory):
    return save_owlv2(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture
def copy(owlv2, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in owlv2.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def load(folder):
    import transformers

    return load_model(transformers.Owlv2ForObjectDetection, folder, who=WHO)


def test_there_are_enough_of_them():
    assert len(NAMES) >= 50


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_is_refused_by_every_loader(name, copy, tmp_path):
    canary = tmp_path / "canary"
    content = hostile_files(canary)[name]
    file = tmp_path / name
    file.write_bytes(content)
    (copy / "model.safetensors").unlink()
    inside = "model.safetensors" if name.endswith(".safetensors") else f"pytorch_model.{name}"
    (copy / inside).write_bytes(content)
    loaders = [
        lambda: read_state(file, who=WHO),
        lambda: read_state(copy, who=WHO),
        lambda: load(copy),
        lambda: load_state_of(str(file)),
    ]
    for loader in loaders:
        with pytest.raises(WeightsError) as raised:
            loader()
        assert "\n" not in str(raised.value)
    assert not canary.exists()


def load_state_of(name):
    return read_state(find_weights(name, who=WHO), who=WHO)


def test_the_canary_would_sing(tmp_path):
    pickle.loads(pickle.dumps(Runs(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


def test_a_large_header_is_refused_unread(tmp_path):
    file = tmp_path / "x.safetensors"
    with file.open("wb") as out:
        out.write(struct.pack("<Q", 100 * 2**20))
        out.truncate(101 * 2**20)
    with pytest.raises(WeightsError, match="its header has 104857600 bytes; the limit is"):
        check_tensors(file, who=WHO)


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling", "device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, kind):
    path = tmp_path / "x.safetensors"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "none")
    with pytest.raises(WeightsError, match="are no regular file"):
        check_tensors(path, who=WHO)


def test_a_header_of_128_bytes_is_no_pickle(tmp_path):
    """Its first byte is that of a pickle."""
    file = tmp_path / "x.safetensors"
    entries = json.dumps({"a": tensor()}).ljust(128).encode()
    file.write_bytes(header(entries, b"\0" * 4))
    assert file.read_bytes()[0] == 0x80
    assert read_state(file, who=WHO)["a"].tolist() == [0.0]


SOUND = header({"a": tensor(), "b": tensor(4, 8)}, b"\0" * 8)


@settings(max_examples=FUZZ, deadline=None)
@given(
    place=st.integers(0, len(SOUND) - 1),
    value=st.integers(0, 255),
    cut=st.integers(0, len(SOUND)),
    junk=st.binary(max_size=20),
)
def test_a_damaged_file_is_read_or_refused_and_never_crashes(
    tmp_path_factory, place, value, cut, junk
):
    file = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    damaged = bytearray(SOUND)
    damaged[place] = value
    file.write_bytes(bytes(damaged[:cut]) + junk + bytes(damaged[cut:]))
    try:
        read_state(file, who=WHO)
    except WeightsError:
        return
    load_file(file)


@settings(max_examples=FUZZ, deadline=None)
@given(
    entries=st.dictionaries(
        st.text(max_size=5),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "U8", "BF16", "I64", "?"]),
                "shape": st.lists(st.integers(-1, 4), max_size=3),
                "data_offsets": st.lists(st.integers(-4, 40), min_size=1, max_size=3),
            }
        ),
        max_size=3,
    ),
    size=st.integers(0, 40),
)
def test_no_file_that_the_library_refuses_passes(tmp_path_factory, entries, size):
    file = tmp_path_factory.getbasetemp() / "made.safetensors"
    file.write_bytes(header(entries, b"\0" * size))
    try:
        expected = load_file(file)
    except Exception:  # noqa: BLE001 whatever it raises, it refuses
        with pytest.raises(WeightsError):
            read_state(file, who=WHO)
    else:
        assert read_state(file, who=WHO).keys() == expected.keys()


# Settings -------------------------------------------------------------------------------------

CODE = "modeling_evil.py"
POISON = {
    "auto_map": {"AutoModel": "modeling_evil.Evil"},
    "auto_map-of-a-hub": {"AutoConfig": "maker/other--modeling_evil.Evil"},
    "trust_remote_code": True,
    "_attn_implementation_internal": "maker/kernel",
    "_experts_implementation_internal": "maker/kernel",
    "_attn_implementation": "maker/kernel:run",
    "attn_implementation": "kernels-community/flash-attn",
    "attn_implementation-by-part": {"vision_config": "maker/kernel", "": "sdpa"},
    "attn_implementation-list": ["maker/kernel"],
    "experts_implementation": "maker/kernel",
    "use_kernels": True,
    "kernel_config": {"kernel_mapping": {"RMSNorm": "maker/kernel:RMSNorm"}},
    "kernels": ["maker/kernel"],
    "quantization_config": {"quant_method": "evil"},
    "transformers_weights": "../../other.safetensors",
    "adapter_kwargs": {"_adapter_model_path": "maker/other"},
    "custom_pipelines": {"x": {"impl": "evil.Pipeline"}},
    "_target_": "os.system",
    "fusion_config": {"evil": True},
    "distributed_config": {"tp_size": 2},
    "use_pretrained_backbone": True,
    "_class": "os.system",
    "__class__": "Evil",
}


@pytest.mark.parametrize("name", sorted(POISON))
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_setting_that_fetches_or_runs_code_is_refused_at_any_depth(copy, name, depth):
    key, canary = name.partition("-")[0], copy.parent / "canary"
    (copy / CODE).write_text(f"open({str(canary)!r}, 'w')")
    poison = {key: POISON[name]}
    for part in ["vision_config", "extra"][:depth]:
        poison = {part: [poison] if part == "extra" else poison}
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | poison))
    with pytest.raises(WeightsError, match=f"{key}', which"):
        load(copy)
    assert not canary.exists()


@pytest.mark.parametrize(
    "file",
    [
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "generation_config.json",
    ],
)
def test_a_setting_that_runs_code_is_refused_in_every_file(copy, file):
    import transformers

    canary = copy.parent / "canary"
    (copy / CODE).write_text(f"open({str(canary)!r}, 'w')")
    path = copy / file
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | {"auto_map": {"AutoProcessor": "modeling_evil.Evil"}}))
    with pytest.raises(WeightsError, match="auto_map"):
        load(copy)
    with pytest.raises(WeightsError, match="auto_map"):
        load_processor(transformers.AutoProcessor, copy, who=WHO)
    assert not canary.exists()


def test_an_adapter_is_refused(copy):
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "maker/other"}')
    with pytest.raises(WeightsError, match="holds an adapter"):
        load(copy)


@pytest.mark.parametrize(
    "table",
    [{"a": "../x.safetensors"}, {"a": "/etc/x.safetensors"}, {"a": "x.bin"}, {"a": 3}, {}, None],
)
def test_an_index_names_only_files_beside_it(copy, table):
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    with pytest.raises(WeightsError, match="expected file names of this folder"):
        load(copy)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a":' * 100_000, b'{"a": ' + b"9" * 9999],
)
def test_settings_that_are_no_object_are_refused(copy, content):
    (copy / "config.json").write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        load(copy)
    assert "\n" not in str(raised.value)


def test_settings_of_gigabytes_are_not_read(tmp_path):
    file = tmp_path / "config.json"
    with file.open("wb") as out:
        out.truncate(2**33)
    with pytest.raises(WeightsError, match="has more than 8 MB"):
        read_settings(file, who=WHO)


@pytest.mark.parametrize(
    "harmless",
    [
        {"auto_map": None},
        {"trust_remote_code": False},
        {"_name_or_path": "maker/model", "_commit_hash": None},
        {"attn_implementation": "sdpa"},
        {"_attn_implementation_autoset": True},
        {"use_pretrained_backbone": False},
        {"_num_labels": 3, "_unknown": None},
        {"text_config": {"_pad_token_id": 128002}},
    ],
)
def test_what_published_settings_have_is_taken(copy, harmless):
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | harmless))
    check_folder(copy, who=WHO)


@pytest.mark.parametrize("value", ["os.system", {"a": 1}, [1], True, 1.5])
def test_a_private_number_of_a_token_is_a_number(copy, value):
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_pad_token_id": value}))
    with pytest.raises(WeightsError, match="private to a library"):
        check_folder(copy, who=WHO)


def test_words_of_a_vocabulary_are_no_settings(copy):
    (copy / "vocab.json").write_text('{"auto_map": 1, "_target_": 2, "__": 3}')
    check_folder(copy, who=WHO)


def test_files_beside_the_weights_are_left_alone(copy):
    """A folder of a hub may hold the pickle and the code too; neither is touched."""
    canary = copy.parent / "canary"
    (copy / CODE).write_text(f"open({str(canary)!r}, 'w')")
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(canary)))
    assert load(copy).config.projection_dim == 32
    assert not canary.exists()


def test_a_file_that_is_named_is_the_file(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    assert checkpoints.weights_of(tmp_path, who=WHO) == [Path(tmp_path, "a.safetensors")]
