"""What was found is kept line by line: read back exactly, and a damaged end is found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, OutputError
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.mapping.state import FoundLog

JOB = {"phrases": ["sofa", "椅子"]}


def regions(count, *, masks=True, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 5, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 5, (count, 2))], axis=1)
    cut = tuple(encode(rng.random((12, 10)) > 0.5) for _ in range(count))
    return Regions(
        ids=tuple(f"7/r{i}" for i in range(count)),
        boxes=torch.from_numpy(boxes).float(),
        scores=torch.from_numpy(rng.random(count)).float(),
        phrases=("sofa", "椅子"),
        phrase_ids=torch.from_numpy(rng.integers(-1, 2, count)),
        image_size=(10, 12),
        masks=cut if masks else None,
        sources=("expert",) * count,
    )


def same(a, b):
    tensors = ("boxes", "scores", "phrase_ids")
    plain = ("ids", "phrases", "image_size", "masks", "sources")
    return all(torch.equal(getattr(a, k), getattr(b, k)) for k in tensors) and all(
        getattr(a, k) == getattr(b, k) for k in plain
    )


@given(count=st.integers(0, 4), masks=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_what_was_found_is_read_back_to_the_last_digit(count, masks, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "state"
    found = regions(count, masks=masks, seed=seed)

    with FoundLog(path, job=JOB) as log:
        log.keep(7, found, {"椅子": "nobody knows it"})

    with FoundLog(path, job=JOB) as log:
        back, cannot = log.found(7)
        assert same(back, found)
        assert (cannot, len(log), log.found(8)) == ({"椅子": "nobody knows it"}, 1, None)


def test_the_comparison_sees_a_difference():
    assert not same(regions(2), regions(2, seed=1))
    assert not same(regions(2), regions(2, masks=False))


def test_nothing_is_left_of_a_call_that_found_nothing(tmp_path):
    with FoundLog(tmp_path / "state", job=JOB):
        pass

    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_was_cut_off_is_found_again(cut, tmp_path):
    path = tmp_path / "state"
    with FoundLog(path, job=JOB) as log:
        log.keep(1, regions(1), {})
        log.keep(2, regions(2), {})
    path.write_bytes(path.read_bytes()[:-cut])

    with FoundLog(path, job=JOB) as log:
        assert (log.found(1) is None, log.found(2)) == (False, None)
        log.keep(2, regions(2), {})

    with FoundLog(path, job=JOB) as log:
        assert len(log) == 2


def test_what_follows_a_damaged_line_is_not_believed(tmp_path):
    path = tmp_path / "state"
    with FoundLog(path, job=JOB) as log:
        for frame in (1, 2, 3):
            log.keep(frame, regions(1), {})
    lines = path.read_bytes().split(b"\n")
    lines[2] = b'{"frame": 2, "boxes": [[0, 0]]}'
    path.write_bytes(b"\n".join(lines))

    with FoundLog(path, job=JOB) as log:
        assert [log.found(k) is not None for k in (1, 2, 3)] == [True, False, False]


@pytest.mark.parametrize("content", [b"hello\n", b"{}\n", b"[1]\n", b"\xff\xfe\n"])
def test_another_file_is_refused_and_stays_as_it_is(content, tmp_path):
    path = tmp_path / "state"
    path.write_bytes(content)

    with pytest.raises(InputError, match="it is no state of a map"):
        FoundLog(path, job=JOB)

    assert path.read_bytes() == content


def test_the_state_of_another_job_is_refused_by_what_differs(tmp_path):
    with FoundLog(tmp_path / "state", job={**JOB, "detector": "owlv2"}) as log:
        log.keep(1, regions(1), {})

    with pytest.raises(InputError, match="its detector is not the same"):
        FoundLog(tmp_path / "state", job={**JOB, "detector": "sam3"})


def test_a_folder_that_is_not_there(tmp_path):
    log = FoundLog(tmp_path / "no" / "state", job=JOB)

    with pytest.raises(OutputError, match="No such file"):
        log.keep(1, regions(1), {})


def test_two_that_begin_one_log_are_told_apart(tmp_path):
    path = tmp_path / "state"
    with FoundLog(path, job=JOB) as first, FoundLog(path, job=JOB) as second:
        first.keep(0, regions(1), {})
        with pytest.raises(OutputError, match="state: another call has begun this map meanwhile"):
            second.keep(0, regions(1), {})


def test_a_full_disk_is_told_once(tmp_path):
    log = FoundLog(tmp_path / "state", job=JOB)
    log._file = open("/dev/full", "w", encoding="ascii")  # noqa: SIM115 - the log closes it

    def keep():
        with log:
            log.keep(0, regions(1), {})

    with pytest.raises(OutputError, match="state: No space left"):
        keep()
