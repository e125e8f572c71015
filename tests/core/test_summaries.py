"""Summaries of files: none is encoded twice, a broken one spoils no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plain_encoders
import pytest
import torch
from PIL import Image as PILImage
from plain_encoders import ColourEncoder, EdgeEncoder, PlainOptions

from groundplane.core.errors import EncoderError, GroundplaneError, InputError
from groundplane.core.feature_store import FeatureStore
from groundplane.core.features import FeatureGrid
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.core.summaries import Summaries, summarise


def _pictures(folder: Path, count: int = 5) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        path = folder / f"{number}.png"
        size = (20 + number, 30)
        PILImage.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def _both() -> list[plain_encoders._PlainEncoder]:
    return [ColourEncoder(PlainOptions()), EdgeEncoder(PlainOptions())]


def _run(paths: Sequence[Path], folder: Path, encoders: Sequence[object] | None = None, **more):
    with FeatureStore(folder) as store:
        return summarise(paths, encoders or _both(), store, **more)


class _Failing(ColourEncoder):
    """Refuses pictures of one width."""

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        if any(image.size[1] == 22 for image in images):
            raise InputError("this one is too hard")
        return super().encode(images)


def test_a_row_is_what_the_encoder_gives(tmp_path: Path) -> None:
    paths = _pictures(tmp_path)
    seen = _run(paths, tmp_path / "store", batch=2)
    assert seen.paths == tuple(paths)
    for rows, encoder in zip(seen.rows, _both(), strict=True):
        plain = torch.cat([encoder.encode([read_image(path)]).summary for path in paths])
        torch.testing.assert_close(rows, plain)


def test_a_second_run_encodes_nothing_and_gives_the_same(tmp_path: Path) -> None:
    paths = _pictures(tmp_path)
    before = _run(paths, tmp_path / "store")
    encoders = _both()
    after = _run(paths, tmp_path / "store", encoders)
    assert (before.num_encoded, after.num_encoded) == (5, 0)
    assert [encoder.num_encoded for encoder in encoders] == [0, 0]
    for a, b in zip(before.rows, after.rows, strict=True):
        assert torch.equal(a, b)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    paths = _pictures(tmp_path)

    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(paths, tmp_path / "store", batch=2, told=stop)
    after = _run(paths, tmp_path / "store", batch=2)
    assert after.num_encoded == 1
    assert after.paths == tuple(paths)


def test_another_option_is_another_encoder(tmp_path: Path) -> None:
    paths = _pictures(tmp_path)
    _run(paths, tmp_path / "store")
    others = [ColourEncoder(PlainOptions(cells=3)), EdgeEncoder(PlainOptions())]
    _run(paths, tmp_path / "store", others)
    assert [encoder.num_encoded for encoder in others] == [5, 0]


def test_broken_files_are_named_and_the_others_stay(tmp_path: Path) -> None:
    paths = _pictures(tmp_path, 3)
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    (empty := tmp_path / "empty.png").touch()
    gone = tmp_path / "gone.png"
    seen = _run([*paths, empty, gone, tmp_path], tmp_path / "store")
    assert seen.paths == (paths[0], paths[2])
    reasons = dict(seen.failed)
    assert set(reasons) == {paths[1], empty, gone, tmp_path}
    assert "no such file" in reasons[gone]
    assert all(len(reason.splitlines()) == 1 for reason in reasons.values())


def test_copies_are_left_out_and_named(tmp_path: Path) -> None:
    paths = _pictures(tmp_path, 3)
    (copy := tmp_path / "copy.png").write_bytes(paths[0].read_bytes())
    seen = _run([*paths, copy], tmp_path / "store")
    assert seen.paths == tuple(paths)
    assert seen.copies == ((copy, paths[0]),)


def test_a_picture_that_an_encoder_refuses_spoils_no_other(tmp_path: Path) -> None:
    paths = _pictures(tmp_path)
    seen = _run(paths, tmp_path / "store", [_Failing(PlainOptions()), EdgeEncoder(PlainOptions())])
    assert seen.paths == (paths[0], paths[1], paths[3], paths[4])
    assert seen.failed == ((paths[2], "this one is too hard"),)


def test_a_picture_of_which_features_are_not_finite_spoils_no_other(tmp_path: Path) -> None:
    class Overflowing(ColourEncoder):
        def encode(self, images: Sequence[Image]) -> FeatureGrid:
            if any(image.size[1] == 22 for image in images):
                raise EncoderError("its features are not finite")
            return super().encode(images)

    paths = _pictures(tmp_path)
    seen = _run(paths, tmp_path / "store", [Overflowing(PlainOptions())])
    assert seen.paths == (paths[0], paths[1], paths[3], paths[4])
    assert seen.failed == ((paths[2], "its features are not finite"),)


def test_a_file_that_is_named_twice_has_one_row(tmp_path: Path) -> None:
    paths = _pictures(tmp_path, 2)
    for batch in (1, 3):
        seen = _run([*paths, paths[0]], tmp_path / f"store {batch}", batch=batch)
        assert seen.paths == tuple(paths)
        assert seen.copies == ((paths[0], paths[0]),)


def test_a_summary_that_is_not_finite_is_no_row_and_is_not_kept(tmp_path: Path) -> None:
    class Blind(ColourEncoder):
        def _summary(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.full((len(tokens), 3), float("nan"))

    paths = _pictures(tmp_path, 2)
    seen = _run(paths, tmp_path / "store", [Blind(PlainOptions())])
    assert seen.paths == ()
    assert "not finite" in seen.failed[0][1]
    with FeatureStore(tmp_path / "store") as store:
        assert store.stats.entries == 0


def test_an_encoder_without_summaries_or_key_is_refused_at_once(tmp_path: Path) -> None:
    class Without(ColourEncoder):
        def encode(self, images: Sequence[Image]) -> FeatureGrid:
            grid = super().encode(images)
            return FeatureGrid(
                tokens=grid.tokens, grid=grid.grid, patch=grid.patch, frames=grid.frames
            )

    with pytest.raises(GroundplaneError, match="Without gives none"):
        _run(_pictures(tmp_path, 2), tmp_path / "store", [Without(PlainOptions())])
    keyless = ColourEncoder(PlainOptions())
    keyless.key = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="has no key"):
        _run([], tmp_path / "store", [keyless])


def test_no_files_give_no_rows(tmp_path: Path) -> None:
    seen: Summaries = _run([], tmp_path / "store")
    assert seen.paths == ()
    assert [len(rows) for rows in seen.rows] == [0, 0]


def test_a_batch_below_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch"):
        _run([], tmp_path / "store", batch=0)
