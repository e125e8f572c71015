"""The feature store: what is put is read back, by any process, within a budget."""

import gc
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import feature_store
from groundplane.core.errors import InputError, OutputError
from groundplane.core.feature_packing import pack_nested, pack_tensor
from groundplane.core.feature_store import FeatureStore

DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn,
)  # fmt: skip


def numbered(count, size=4):
    return {("k", i): {"value": torch.full((size,), float(i))} for i in range(count)}


def filled(folder, count=3, **options):
    """A folder with some encodings in one shard."""
    with FeatureStore(folder, **options) as store:
        for key, tensors in numbered(count).items():
            store.put(key, tensors)
    return folder


def in_process(code, **environment):
    """Run code in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class TestKeeping:
    def test_what_was_put_is_there_before_and_after_it_is_written(self, tmp_path):
        store = FeatureStore(tmp_path)
        store.put("a", {"x": torch.arange(3)})
        assert store.get("a")["x"].tolist() == [0, 1, 2]
        assert (store.stats.pending, store.stats.entries) == (1, 0)
        store.flush()
        assert store.get("a")["x"].tolist() == [0, 1, 2]
        assert (store.stats.pending, store.stats.entries, store.stats.shards) == (0, 1, 1)

    def test_what_was_not_put_is_not_there(self, tmp_path):
        store = FeatureStore(tmp_path)
        assert store.get("a") is None
        assert (store.stats.hits, store.stats.misses) == (0, 1)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_the_number_type_is_kept(self, tmp_path, dtype):
        numbers = torch.tensor([0, 1, 2, 100]).to(dtype)
        with FeatureStore(tmp_path) as store:
            store.put("a", {"x": numbers})
        read = FeatureStore(tmp_path).get("a")["x"]
        assert read.dtype == dtype
        assert read.tolist() == numbers.tolist()

    @settings(max_examples=20, deadline=None)
    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.tuples(st.lists(st.integers(0, 3), max_size=4), st.sampled_from(DTYPES)),
            max_size=4,
        )
    )
    def test_any_shapes_and_names_come_back(self, tmp_path_factory, layout):
        folder = tmp_path_factory.mktemp("store")
        random = torch.Generator().manual_seed(0)
        given_ = {
            name: torch.randint(0, 2, shape, generator=random).to(dtype)
            for name, (shape, dtype) in layout.items()
        }
        with FeatureStore(folder) as store:
            store.put("a", given_)
            store.put("b", {"odd": torch.ones(3, dtype=torch.uint8)})
        read = FeatureStore(folder).get("a")
        assert read.keys() == given_.keys()
        for name, tensor in given_.items():
            assert read[name].shape == tensor.shape
            assert read[name].dtype == tensor.dtype
            assert read[name].tolist() == tensor.tolist()

    def test_numbers_that_are_not_finite_come_back_too(self, tmp_path):
        numbers = torch.tensor([float("nan"), float("inf"), -0.0])
        with FeatureStore(tmp_path) as store:
            store.put("a", {"x": numbers})
        read = FeatureStore(tmp_path).get("a")["x"]
        assert read.numpy().tobytes() == numbers.numpy().tobytes()

    def test_views_and_strides_are_stored_as_they_look(self, tmp_path):
        whole = torch.arange(12.0).reshape(3, 4)
        with FeatureStore(tmp_path) as store:
            store.put("a", {"t": whole.t(), "part": whole[1:, ::2], "wide": whole[:1].expand(5, 4)})
        read = FeatureStore(tmp_path).get("a")
        assert torch.equal(read["t"], whole.t())
        assert torch.equal(read["part"], whole[1:, ::2])
        assert torch.equal(read["wide"], whole[:1].expand(5, 4))

    def test_what_is_written_to_after_it_was_put_was_put_before(self, tmp_path):
        tensor = torch.zeros(3)
        store = FeatureStore(tmp_path)
        store.put("a", {"x": tensor})
        tensor.add_(1)
        store.get("a")["x"].add_(1)
        store.flush()
        assert store.get("a")["x"].tolist() == [0, 0, 0]

    def test_the_first_of_two_values_of_a_key_stays(self, tmp_path):
        with FeatureStore(tmp_path) as store:
            store.put("a", {"x": torch.zeros(1)})
            store.put("a", {"x": torch.ones(1)})
            store.flush()
            store.put("a", {"x": torch.ones(1)})
        assert FeatureStore(tmp_path).get("a")["x"].item() == 0
        assert FeatureStore(tmp_path).stats.shards == 1

    def test_tensors_that_need_gradients_or_are_of_inference_mode_are_stored(self, tmp_path):
        with torch.inference_mode():
            made = torch.ones(2)
        with FeatureStore(tmp_path) as store:
            store.put("a", {"x": made, "y": torch.ones(2, requires_grad=True)})
        read = FeatureStore(tmp_path).get("a")
        assert read["x"].tolist() == read["y"].tolist() == [1, 1]

    @pytest.mark.parametrize(
        "bad",
        [
            torch.ones(2, dtype=torch.complex64),
            torch.ones(2).to_sparse(),
            torch.ones(2, device="meta"),
        ],
        ids=["complex", "sparse", "meta"],
    )
    def test_what_a_file_cannot_hold_is_refused_by_name(self, tmp_path, bad):
        with pytest.raises(InputError, match="'x': expected a dense tensor"):
            FeatureStore(tmp_path).put("a", {"x": bad})

    def test_the_device_is_an_argument(self, tmp_path):
        folder = filled(tmp_path)
        assert FeatureStore(folder).get(("k", 1), device="meta")["value"].device.type == "meta"


class TestReadingInPlace:
    def test_reading_copies_nothing(self, tmp_path):
        store = FeatureStore(filled(tmp_path))
        first, again = store.get(("k", 1))["value"], store.get(("k", 1))["value"]
        assert first.data_ptr() == again.data_ptr()

    def test_whoever_writes_to_what_was_read_changes_nothing(self, tmp_path):
        store = FeatureStore(filled(tmp_path))
        store.get(("k", 1))["value"].fill_(9)
        assert store.get(("k", 1))["value"].tolist() == [1] * 4
        assert FeatureStore(tmp_path).get(("k", 1))["value"].tolist() == [1] * 4

    def test_nor_in_inference_mode(self, tmp_path):
        store = FeatureStore(filled(tmp_path))
        with torch.inference_mode():
            store.get(("k", 1))["value"].fill_(9)
            assert store.get(("k", 1))["value"].tolist() == [1] * 4


class TestMaking:
    def test_only_what_is_missing_is_made_and_once(self, tmp_path):
        store, asked = FeatureStore(tmp_path), []

        def make(places):
            asked.append(list(places))
            return [torch.tensor([float(p)]) for p in places]

        store.get_or_make_all(["a"], make, pack_tensor())
        given_ = store.get_or_make_all(["b", "a", "b", "c"], make, pack_tensor())
        assert asked == [[0], [0, 3]]
        assert [t.item() for t in given_] == [0, 0, 0, 3]
        assert store.get_or_make_all([], make, pack_tensor()) == []

    def test_another_number_of_values_is_an_error(self, tmp_path):
        with pytest.raises(InputError, match="expected 1 values from the maker, got 0"):
            FeatureStore(tmp_path).get_or_make_all(["a"], lambda places: [], pack_tensor())

    def test_a_maker_that_fails_leaves_nothing(self, tmp_path):
        store = FeatureStore(tmp_path)
        with pytest.raises(RuntimeError, match="broken"):
            store.get_or_make_all(
                ["a"], lambda places: (_ for _ in ()).throw(RuntimeError("broken")), pack_tensor()
            )
        assert store.stats.pending == 0

    def test_a_store_for_reading_makes_and_keeps_nothing(self, tmp_path):
        store = FeatureStore(filled(tmp_path), read_only=True)
        made = store.get_or_make_all(["new"], lambda places: [torch.ones(1)], pack_tensor())
        assert made[0].item() == 1
        assert store.get("new") is None


class TestProcesses:
    def test_another_process_reads_what_one_wrote_and_adds_to_it(self, tmp_path):
        filled(tmp_path)
        store = FeatureStore(tmp_path)
        code = f"""
import torch
from groundplane.core.feature_store import FeatureStore
with FeatureStore({str(tmp_path)!r}) as store:
    print(store.get(("k", 2))["value"].tolist())
    store.put("theirs", {{"value": torch.ones(1)}})
"""
        assert in_process(code).strip() == "[2.0, 2.0, 2.0, 2.0]"
        assert store.get("theirs")["value"].item() == 1

    def test_a_process_that_ends_on_its_own_writes_what_it_had(self, tmp_path):
        in_process(f"""
import torch
from groundplane.core.feature_store import FeatureStore
store = FeatureStore({str(tmp_path)!r})
store.put("a", {{"value": torch.ones(1)}})
""")
        assert FeatureStore(tmp_path).get("a")["value"].item() == 1

    def test_a_store_that_is_let_go_of_writes_what_it_had(self, tmp_path):
        store = FeatureStore(tmp_path)
        store.put("a", {"value": torch.ones(1)})
        del store
        gc.collect()
        assert FeatureStore(tmp_path).get("a")["value"].item() == 1

    def test_and_tells_where_it_cannot(self, tmp_path, monkeypatch, caplog):
        def full(*_):
            raise OutputError("no space left")

        store = FeatureStore(tmp_path)
        store.put("a", {"value": torch.ones(1)})
        monkeypatch.setattr(feature_store, "write_shard", full)
        del store
        gc.collect()
        assert "no space left; what had gathered is lost" in caplog.text

    def test_a_forked_child_leaves_to_its_parent_what_the_parent_had(self, tmp_path):
        out = in_process(f"""
import os, torch
from groundplane.core.feature_store import FeatureStore
store = FeatureStore({str(tmp_path)!r})
store.put("a", {{"value": torch.ones(1)}})
child = os.fork()
if not child:
    store.flush()
    os._exit(0)
os.waitpid(child, 0)
print(FeatureStore({str(tmp_path)!r}).stats.shards)
store.flush()
""")
        assert out.strip() == "0"
        assert FeatureStore(tmp_path).stats.shards == 1

    def test_several_processes_write_at_a_time_and_nothing_is_lost(self, tmp_path):
        code = """
import sys, torch
from groundplane.core.feature_store import FeatureStore
store = FeatureStore(sys.argv[1])
for i in range(40):
    store.put((sys.argv[2], i), {"value": torch.full((50,), float(i))})
    store.put(("shared", i), {"value": torch.full((50,), float(i))})
    if i % 3 == 0:
        store.flush()
store.flush()
"""
        running = [
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"
        ]
        assert [process.wait(60) for process in running] == [0, 0]
        store = FeatureStore(tmp_path)
        for name in ["a", "b", "shared"]:
            for i in range(40):
                assert store.get((name, i))["value"].unique().tolist() == [i]
        assert store.stats.damaged == 0

    def test_threads_share_a_store(self, tmp_path):
        store, wrong = FeatureStore(tmp_path, 20_000), []

        def work(seed):
            rng = np.random.default_rng(seed)
            for _ in range(60):
                i = int(rng.integers(30))
                store.put(i, {"value": torch.full((100,), float(i))})
                if rng.random() < 0.2:
                    store.flush()
                read = store.get(int(rng.integers(30)))
                if read is not None and len(read["value"].unique()) != 1:
                    wrong.append(read)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong
        assert store.stats.damaged == 0


class TestBudget:
    def test_the_oldest_go_first(self, tmp_path):
        store = FeatureStore(tmp_path, 12_000)
        for i in range(10):
            store.put(i, {"value": torch.full((1000,), i, dtype=torch.uint8)})
            store.flush()
        assert store.stats.bytes <= 12_000
        assert store.stats.evicted > 0
        kept = [i for i in range(10) if store.get(i) is not None]
        assert kept == list(range(kept[0], 10))
        files = list((tmp_path / "shards").iterdir())
        assert sum(path.stat().st_size for path in files) == store.stats.bytes

    def test_what_is_larger_than_the_budget_is_told_and_pushes_out_nothing(self, tmp_path, caplog):
        store = FeatureStore(tmp_path, 8000)
        store.put("small", {"value": torch.zeros(1)})
        store.flush()
        store.put("large", {"value": torch.zeros(5000)})
        assert store.get("large") is None
        assert store.get("small") is not None
        assert "20000 bytes are more than the budget of 8000" in caplog.text

    def test_a_reader_keeps_what_another_gives_up_meanwhile(self, tmp_path):
        store = FeatureStore(filled(tmp_path))
        held = store.get(("k", 1))["value"]
        FeatureStore(tmp_path).clear()
        assert held.tolist() == [1] * 4
        store.stats  # noqa: B018 - it reads the index
        assert store.get(("k", 1)) is None
        assert store.stats.damaged == 0

    def test_a_reader_that_has_not_looked_since_finds_nothing_and_no_damage(self, tmp_path, caplog):
        store = FeatureStore(filled(tmp_path))
        FeatureStore(tmp_path).clear()
        assert store.get(("k", 1)) is None
        assert (store.stats.damaged, caplog.text) == (0, "")

    def test_a_shard_is_written_when_enough_has_gathered(self, tmp_path, monkeypatch):
        monkeypatch.setattr(feature_store, "_SHARD_BYTES", 1000)
        store = FeatureStore(tmp_path)
        for key, tensors in numbered(10, size=100).items():
            store.put(key, tensors)
        assert store.stats.shards == 3
        monkeypatch.setattr(feature_store, "_SHARD_SECONDS", -1.0)
        store.put("late", {"value": torch.ones(1)})
        assert store.stats.pending == 0

    @pytest.mark.parametrize("budget", [0, -1, True])
    def test_a_budget_that_is_none_is_refused(self, tmp_path, budget):
        with pytest.raises(InputError, match="budget above 0"):
            FeatureStore(tmp_path, budget)

    def test_clearing_takes_away_everything(self, tmp_path):
        store = FeatureStore(filled(tmp_path))
        store.put("more", {"value": torch.ones(1)})
        store.clear()
        assert store.get("more") is None
        assert (store.stats.entries, list((tmp_path / "shards").iterdir())) == (0, [])
        store.put("more", {"value": torch.ones(1)})
        store.flush()
        assert FeatureStore(tmp_path).get("more") is not None


class TestFolder:
    def test_a_cache_from_another_version_is_refused_by_name(self, tmp_path):
        filled(tmp_path)
        mark = tmp_path / "store.json"
        mark.write_text(json.dumps(json.loads(mark.read_text()) | {"version": 99}))
        with pytest.raises(InputError, match=r"is a cache from another version \(99; this ground"):
            FeatureStore(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"format": 1}', "[" * 9999])
    def test_a_mark_that_is_malformed_is_refused(self, tmp_path, text):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(InputError, match=r"store\.json is malformed"):
            FeatureStore(tmp_path)

    def test_a_mark_of_something_else_is_refused(self, tmp_path):
        (tmp_path / "store.json").write_text('{"format": "shop", "version": 1}')
        with pytest.raises(InputError, match="is of something else: 'shop'"):
            FeatureStore(tmp_path)

    def test_a_folder_with_other_files_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(InputError, match=r"holds other files \('thesis\.tex'\)"):
            FeatureStore(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(OSError, match="cannot be used"):
            FeatureStore(tmp_path / "file" / "store")

    def test_reading_only_makes_no_folder_and_writes_nothing(self, tmp_path):
        with pytest.raises(InputError, match="is no feature store"):
            FeatureStore(tmp_path / "new", read_only=True)
        assert not (tmp_path / "new").exists()
        store = FeatureStore(filled(tmp_path), read_only=True)
        for refused in (lambda: store.put("a", {}), store.clear):
            with pytest.raises(InputError, match="for reading only"):
                refused()

    def test_nested_values_pass_through_a_file(self, tmp_path):
        packing, value = pack_nested(), {"maps": (torch.ones(2), [torch.zeros(0, 3)], ())}
        with FeatureStore(tmp_path) as store:
            store.put("a", packing.pack(value))
        read = packing.unpack(FeatureStore(tmp_path).get("a"))
        assert read["maps"][0].tolist() == [1, 1]
        assert read["maps"][1][0].shape == (0, 3)
        assert read["maps"][2] == ()
