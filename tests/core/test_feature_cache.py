import logging
import subprocess
import sys
import threading
import time
from collections import OrderedDict, UserDict
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.feature_cache import (
    BUDGET,
    FeatureCache,
    image_key,
    shared_cache,
)
from groundplane.core.image import FrameMap
from groundplane.core.value_sizes import bytes_of
from groundplane.testing.detectors import make_image


def unit(value: object) -> int:
    """Each value counts as one byte."""
    return 1


def forbidden() -> object:
    raise AssertionError("made although it was kept")


def in_threads(count: int, call) -> list:
    """What a call gives in each of some threads that start together."""
    gate, given = threading.Barrier(count), [None] * count

    def work(i):
        gate.wait()
        given[i] = call(i)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return given


class TestKeeping:
    def test_a_value_is_made_once_and_given_as_it_is(self):
        cache = FeatureCache(1000)
        made = cache.get_or_make("a", lambda: torch.zeros(4))
        assert cache.get_or_make("a", forbidden) is made
        assert (cache.stats.hits, cache.stats.misses, cache.stats.entries) == (1, 1, 1)
        assert cache.stats.bytes == 16

    def test_the_least_recently_used_goes_first(self):
        cache = FeatureCache(2)
        for key in "ab":
            cache.get_or_make(key, lambda: 0, unit)
        cache.get_or_make("a", forbidden, unit)
        cache.get_or_make("c", lambda: 0, unit)
        assert cache.get_or_make("a", forbidden, unit) == 0
        assert cache.get_or_make("b", lambda: "anew", unit) == "anew"
        assert cache.stats.evictions == 2

    def test_a_value_larger_than_the_budget_is_given_but_not_kept(self):
        cache = FeatureCache(100)
        cache.get_or_make("small", lambda: torch.zeros(4))
        assert len(cache.get_or_make("large", lambda: torch.zeros(1000))) == 1000
        assert (cache.stats.entries, cache.stats.evictions) == (1, 0)

    def test_a_budget_of_nothing_keeps_nothing(self):
        cache = FeatureCache(0)
        assert [cache.get_or_make("a", lambda i=i: i, unit) for i in range(3)] == [0, 1, 2]
        assert cache.stats.entries == 0

    def test_none_is_a_value(self):
        cache = FeatureCache(100)
        assert cache.get_or_make("a", lambda: None) is None
        assert cache.get_or_make("a", forbidden) is None

    def test_clear_drops_everything(self):
        cache = FeatureCache(100)
        cache.get_or_make("a", lambda: 1, unit)
        cache.clear()
        assert (cache.stats.entries, cache.stats.bytes) == (0, 0)
        assert cache.get_or_make("a", lambda: 2, unit) == 2

    def test_a_smaller_budget_drops_what_no_longer_fits(self):
        cache = FeatureCache(3)
        for key in "abc":
            cache.get_or_make(key, lambda: 0, unit)
        cache.resize(1)
        assert (cache.stats.entries, cache.budget_bytes) == (1, 1)
        assert cache.get_or_make("c", forbidden, unit) == 0

    @pytest.mark.parametrize("change", [FeatureCache, FeatureCache(1).resize])
    def test_a_budget_below_nothing_is_refused(self, change):
        with pytest.raises(InputError, match="budget of 0 bytes or more, got -1"):
            change(-1)

    @pytest.mark.parametrize("patience", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_patience_must_be_above_zero(self, patience):
        with pytest.raises(InputError, match="patience above 0"):
            FeatureCache(1, patience=patience)

    def test_what_the_maker_raises_passes_through_and_nothing_is_kept(self):
        cache = FeatureCache(100)
        with pytest.raises(ZeroDivisionError):
            cache.get_or_make("a", lambda: 1 // 0)
        assert cache.stats.entries == 0
        assert cache.get_or_make("a", lambda: 1) == 1

    def test_an_interrupt_leaves_nothing_behind(self):
        cache = FeatureCache(100)

        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.get_or_make("a", interrupt)
        assert cache.get_or_make("a", lambda: 1) == 1

    def test_a_maker_may_use_the_cache_for_other_keys(self):
        cache = FeatureCache(100)
        outer = cache.get_or_make("a", lambda: cache.get_or_make("b", lambda: 1, unit) + 1, unit)
        assert (outer, cache.get_or_make("b", forbidden, unit)) == (2, 1)

    @settings(deadline=None, max_examples=60)
    @given(
        st.integers(0, 12),
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60),
    )
    def test_it_does_what_a_plain_one_does(self, budget, asked):
        cache = FeatureCache(budget)
        plain: OrderedDict[int, int] = OrderedDict()
        for key, size in asked:
            made: list[int] = []
            given_back = cache.get_or_make(key, lambda m=made, s=size: (m.append(1), s)[1], int)
            if key in plain:
                plain.move_to_end(key)
                assert not made
                assert given_back == plain[key]
                continue
            assert made
            if size <= budget:
                while sum(plain.values()) + size > budget:
                    plain.popitem(last=False)
                plain[key] = size
            assert cache.stats.entries == len(plain)
            assert cache.stats.bytes == sum(plain.values()) <= budget


class TestThreads:
    def test_threads_that_ask_at_a_time_make_it_once(self):
        cache, made = FeatureCache(1000), []

        def make():
            time.sleep(0.05)
            made.append(1)
            return torch.zeros(3)

        given_back = in_threads(8, lambda i: cache.get_or_make("a", make))
        assert len(made) == 1
        assert all(value is given_back[0] for value in given_back)
        assert (cache.stats.misses, cache.stats.hits) == (1, 7)

    def test_one_too_large_to_keep_is_still_made_once_for_those_who_wait(self):
        cache, begun = FeatureCache(0), threading.Event()

        def make():
            begun.set()
            time.sleep(0.1)
            return "large"

        def ask(i):
            if i:
                begun.wait()
            return cache.get_or_make("a", make if i == 0 else forbidden)

        assert in_threads(3, ask) == ["large"] * 3
        assert cache.stats.waits == 2

    def test_where_one_maker_fails_the_next_in_line_tries(self):
        cache, begun = FeatureCache(1000), threading.Event()

        def fail():
            begun.set()
            time.sleep(0.05)
            raise RuntimeError("no luck")

        def ask(i):
            if i == 0:
                with pytest.raises(RuntimeError):
                    cache.get_or_make("a", fail)
                return "failed"
            begun.wait()
            return cache.get_or_make("a", lambda: "made")

        assert in_threads(4, ask) == ["failed", "made", "made", "made"]
        assert cache.stats.misses == 2

    def test_a_maker_that_hangs_does_not_hold_up_its_key_for_ever(self):
        cache = FeatureCache(1000, patience=0.05)
        hang, begun = threading.Event(), threading.Event()

        def hanging():
            begun.set()
            hang.wait(20)
            return "late"

        stuck = threading.Thread(target=cache.get_or_make, args=("a", hanging), daemon=True)
        stuck.start()
        begun.wait()
        assert cache.get_or_make("a", lambda: "made here") == "made here"
        assert cache.get_or_make("a", forbidden) == "made here"
        hang.set()
        stuck.join(20)

    def test_a_maker_that_asks_for_its_own_key_does_not_wait_for_itself(self):
        cache = FeatureCache(1000)
        assert cache.get_or_make("a", lambda: cache.get_or_make("a", lambda: 1) + 1) == 2

    def test_many_threads_over_many_keys_keep_the_books_right(self):
        cache = FeatureCache(10)

        def ask(i):
            random = np.random.default_rng(i)
            keys = random.integers(0, 30, 300).tolist()
            return all(cache.get_or_make(k, lambda k=k: k, lambda k: k % 4) == k for k in keys)

        assert all(in_threads(6, ask))
        stats = cache.stats
        assert stats.hits + stats.misses == 6 * 300
        assert 0 <= stats.bytes <= 10
        cache.clear()
        assert cache.stats.bytes == 0


class TestBatches:
    def test_only_the_missing_are_made_each_once_and_together(self):
        cache, asked = FeatureCache(1000), []

        def make(places):
            asked.append(places)
            return [10 + place for place in places]

        cache.get_or_make("b", lambda: 1)
        assert cache.get_or_make_all(["a", "b", "c", "a"], make) == [10, 1, 12, 10]
        assert cache.get_or_make_all(["c", "a"], make) == [12, 10]
        assert asked == [[0, 2]]
        assert (cache.stats.hits, cache.stats.misses) == (3, 3)

    def test_a_batch_larger_than_the_budget_is_given_all_the_same(self):
        cache = FeatureCache(2)
        assert cache.get_or_make_all("abcd", lambda at: at, unit) == [0, 1, 2, 3]
        assert cache.stats.entries == 2

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_another_number_of_values_is_refused_and_nothing_is_kept(self, count):
        cache = FeatureCache(1000)
        with pytest.raises(InputError, match=f"expected 2 values from the maker, got {count}"):
            cache.get_or_make_all("ab", lambda at: [0] * count)
        assert cache.get_or_make_all("ab", lambda at: at) == [0, 1]

    def test_what_the_maker_raises_passes_through_and_nothing_hangs(self):
        cache = FeatureCache(1000)
        with pytest.raises(ZeroDivisionError):
            cache.get_or_make_all("ab", lambda at: [1 // 0])
        assert cache.get_or_make("a", lambda: "made") == "made"

    def test_batches_that_overlap_make_each_value_once(self):
        cache, made = FeatureCache(10_000), []

        def make(keys):
            def batch(places):
                time.sleep(0.02)
                made.extend(keys[place] for place in places)
                return [keys[place] for place in places]

            return batch

        def ask(i):
            keys = [(i + step) % 12 for step in range(8)]
            return cache.get_or_make_all(keys, make(keys)) == keys

        assert all(in_threads(6, ask))
        assert sorted(made) == sorted(set(made))

    def test_where_another_s_batch_fails_the_value_is_made_alone(self):
        cache, begun = FeatureCache(1000), threading.Event()

        def fail(places):
            begun.set()
            time.sleep(0.05)
            raise RuntimeError("no luck")

        def ask(i):
            if i == 0:
                with pytest.raises(RuntimeError):
                    cache.get_or_make_all("ab", fail)
                return []
            begun.wait()
            return cache.get_or_make_all("bc", lambda at: ["bc"[place] for place in at])

        assert in_threads(2, ask)[1] == ["b", "c"]


class TestWritingToWhatWasGiven:
    def test_a_tensor_that_was_written_to_is_made_anew(self, caplog):
        cache = FeatureCache(1000)
        first = cache.get_or_make(("owl", "a"), lambda: {"features": torch.zeros(3)})
        first["features"].add_(1)
        with caplog.at_level(logging.WARNING):
            second = cache.get_or_make(("owl", "a"), lambda: {"features": torch.zeros(3)})
        assert second["features"].tolist() == [0, 0, 0]
        assert "was written to after it was cached and is made anew: ('owl', 'a')" in caplog.text
        assert (cache.stats.spoilt, cache.stats.bytes) == (1, bytes_of(second))

    def test_a_write_through_a_view_is_seen_too(self):
        cache = FeatureCache(1000)
        cache.get_or_make("a", lambda: torch.zeros(3))[1:].fill_(7)
        assert cache.get_or_make("a", lambda: torch.zeros(3)).tolist() == [0, 0, 0]

    def test_tensors_of_inference_mode_cannot_be_written_to_outside_of_it(self):
        cache = FeatureCache(1000)
        with torch.inference_mode():
            kept = cache.get_or_make("a", lambda: torch.zeros(3))
        with pytest.raises(RuntimeError, match=r"[Ii]nference"):
            kept.add_(1)
        assert cache.get_or_make("a", forbidden) is kept


class TestBytes:
    def test_tensors_of_one_storage_count_once_and_whole(self):
        whole = torch.zeros(100)
        assert bytes_of([whole[:10], whole[50:]]) == 400

    def test_an_array_that_is_a_view_counts_what_it_keeps_alive(self):
        assert bytes_of(np.zeros(100)[:2]) == 800

    def test_what_lies_within_counts(self):
        @dataclass
        class Encoding:
            grid: torch.Tensor
            sizes: tuple[int, ...] = ()

        inside = Encoding(grid=torch.zeros(1000))
        for value in (inside, {"a": [inside]}, UserDict(a=(inside,)), [inside, inside]):
            assert 4000 <= bytes_of(value) < 4500

    def test_a_value_that_holds_itself_is_counted(self):
        loop: list[object] = [torch.zeros(10)]
        loop.append(loop)
        assert bytes_of(loop) == 40

    def test_half_precision_and_empty_tensors(self):
        assert bytes_of(torch.zeros(10, dtype=torch.bfloat16)) == 20
        assert bytes_of(torch.zeros(0)) == 0


class TestImageKeys:
    def picture(self, level=0, shape=(30, 40, 3)):
        return make_image(np.full(shape, level, np.uint8))

    def test_the_same_picture_has_the_same_key_whatever_its_name(self):
        one = self.picture()
        named = replace(one, source=replace(one.source, name="other"))
        assert image_key(one) == image_key(named)
        assert hash(image_key(one)) == hash(image_key(named))

    def test_pictures_that_only_share_a_hash_have_unlike_keys(self):
        dark, light = self.picture(0), self.picture(200)
        assert image_key(dark) != image_key(replace(light, source=dark.source))

    def test_a_picture_turned_or_cut_has_another_key(self):
        whole = self.picture()
        turned = replace(whole, frame_map=FrameMap(matrix=np.array([[-1.0, 0, 40], [0, 1, 0]])))
        cut = replace(whole, pixels=whole.pixels[:10])
        assert len({image_key(whole), image_key(turned), image_key(cut)}) == 3

    def test_large_and_tiny_pictures_have_keys(self):
        assert image_key(self.picture(shape=(1, 1, 3))) != image_key(
            self.picture(shape=(2000, 1, 3))
        )


class TestSharedCache:
    @pytest.fixture(autouse=True)
    def fresh(self):
        shared_cache.cache_clear()
        yield
        shared_cache.cache_clear()

    def test_it_is_one_for_the_process(self):
        assert shared_cache() is shared_cache()
        assert shared_cache().budget_bytes == 2**30

    def test_the_environment_sets_its_budget(self, monkeypatch):
        monkeypatch.setenv(BUDGET, " 1234 ")
        assert shared_cache().budget_bytes == 1234

    @pytest.mark.parametrize("said", ["-1", "1e9", "1 GB", "٣"])
    def test_a_budget_that_is_no_number_is_named(self, monkeypatch, said):
        monkeypatch.setenv(BUDGET, said)
        with pytest.raises(GroundplaneError, match=BUDGET):
            shared_cache()

    def test_importing_it_loads_no_torch(self):
        code = "import sys, groundplane.core.feature_cache; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
