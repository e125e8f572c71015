"""The second tier of the shared cache: what one process made, the next one reads."""

import subprocess
import sys

import pytest
import torch

from groundplane.core.errors import InputError, OutputError
from groundplane.core.feature_cache import STORE, STORE_BUDGET, FeatureCache, shared_cache
from groundplane.core.feature_packing import pack_nested, pack_tensor
from groundplane.core.feature_store import FeatureStore


def forbidden(*_):
    raise AssertionError("made although it was kept")


@pytest.fixture
def tiers(tmp_path):
    """Makes caches that share a folder, as processes do."""
    stores = []

    def make():
        if stores:
            stores[-1].flush()
        stores.append(FeatureStore(tmp_path))
        return FeatureCache(10**6, store=stores[-1])

    return make


def test_what_another_made_is_read_and_counted(tiers):
    made = tiers().get_or_make("a", lambda: torch.ones(3), packing=pack_tensor())
    cache = tiers()
    read = cache.get_or_make("a", forbidden, packing=pack_tensor())
    assert torch.equal(read, made)
    assert (cache.stats.misses, cache.stats.read, cache.stats.bytes) == (1, 1, 12)
    assert cache.get_or_make("a", forbidden, packing=pack_tensor()) is read
    assert cache.stats.hits == 1


def test_of_a_batch_only_what_nobody_made_is_made(tiers):
    def make(places):
        asked.append(list(places))
        return [torch.tensor([float(place)]) for place in places]

    asked = []
    tiers().get_or_make_all(["a", "c"], make, packing=pack_tensor())
    read = tiers().get_or_make_all(["a", "b", "c", "b"], make, packing=pack_tensor())
    assert asked == [[0, 1], [1]]
    assert [tensor.item() for tensor in read] == [0, 1, 1, 1]


def test_without_a_packing_nothing_goes_to_the_disk(tiers):
    tiers().get_or_make(("a", object()), lambda: torch.ones(1))
    cache = tiers()
    assert cache.get_or_make("a", lambda: 5) == 5
    assert cache.stats.read == 0


def test_whoever_writes_to_what_was_read_changes_nothing_for_others(tiers):
    tiers().get_or_make("a", lambda: torch.ones(3), packing=pack_tensor())
    cache = tiers()
    cache.get_or_make("a", forbidden, packing=pack_tensor()).zero_()
    assert cache.get_or_make("a", forbidden, packing=pack_tensor()).tolist() == [1, 1, 1]
    assert cache.stats.spoilt == 1


def test_a_disk_that_is_full_costs_no_answer_and_is_told(tiers, monkeypatch, caplog):
    def full(*_):
        raise OutputError("shard: cannot be written: No space left on device")

    monkeypatch.setattr(FeatureStore, "put", full)
    assert tiers().get_or_make("a", lambda: torch.ones(1), packing=pack_tensor()).item() == 1
    assert "No space left on device; what was encoded is kept in memory alone" in caplog.text


def test_a_key_or_value_that_cannot_be_stored_is_refused_by_name(tiers):
    with pytest.raises(InputError, match="has no form that is the same in every process"):
        tiers().get_or_make(object(), lambda: torch.ones(1), packing=pack_tensor())
    with pytest.raises(InputError, match="expected tensors in tuples"):
        tiers().get_or_make("a", lambda: 5, packing=pack_nested())


def test_a_store_for_reading_is_read_and_not_written(tiers, tmp_path):
    tiers().get_or_make("a", lambda: torch.ones(1), packing=pack_tensor())
    tiers()
    cache = FeatureCache(100, store=FeatureStore(tmp_path, read_only=True))
    assert cache.get_or_make("a", forbidden, packing=pack_tensor()).item() == 1
    assert cache.get_or_make("b", lambda: torch.ones(1), packing=pack_tensor()).item() == 1


@pytest.fixture
def anew(monkeypatch):
    """The shared cache is made at its next use, here and after."""
    shared_cache.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    shared_cache.cache_clear()


def test_the_variable_names_the_folder_of_all_processes(tmp_path, anew):
    code = """
import torch
from groundplane.core.feature_cache import shared_cache
from groundplane.core.feature_packing import pack_tensor

def make():
    print("made")
    return torch.ones(2)

for key in (1, 2):
    print(shared_cache().get_or_make(("w", key), make, packing=pack_tensor()).tolist())
"""
    anew.setenv(STORE, str(tmp_path / "store"))
    shared_cache().get_or_make(("w", 1), lambda: torch.zeros(2), packing=pack_tensor())
    shared_cache()._store.flush()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[0.0, 0.0]\nmade\n[1.0, 1.0]\n"
    read = FeatureStore(tmp_path / "store", read_only=True).get(("w", 2))
    assert read["value"].tolist() == [1, 1]


def test_without_the_variable_nothing_is_written(tmp_path, anew):
    anew.setenv(STORE, "")
    anew.chdir(tmp_path)
    shared_cache().get_or_make("a", lambda: torch.ones(2), packing=pack_tensor())
    assert shared_cache()._store is None
    assert list(tmp_path.iterdir()) == []


def test_a_variable_bounds_the_folder(tmp_path, anew):
    anew.setenv(STORE, str(tmp_path / "store"))
    anew.setenv(STORE_BUDGET, "100")
    shared_cache().get_or_make("a", lambda: torch.ones(1000), packing=pack_tensor())
    shared_cache()._store.flush()
    assert FeatureStore(tmp_path / "store").stats.bytes == 0
    shared_cache.cache_clear()
    for wrong in ("much", "0", "-5"):
        anew.setenv(STORE_BUDGET, wrong)
        with pytest.raises(
            InputError, match=f"{STORE_BUDGET}: expected a whole number of bytes, 1"
        ):
            shared_cache()
