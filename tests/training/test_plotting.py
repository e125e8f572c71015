import numpy as np
import pytest

from groundplane.core.errors import InputError, OutputError
from groundplane.core.media import read_image
from groundplane.training.plotting import _running_mean, plot_losses


def test_each_stage_is_drawn(tmp_path):
    plot_losses({"stage1": [(1, 3.0), (2, 2.0)], "none": []}, tmp_path / "one.png")
    plot_losses({"stage1": [(1, 3.0), (2, 2.0)], "stage2": [(1, 1.0)]}, tmp_path / "two.png")
    one, two = (read_image(tmp_path / name).pixels for name in ("one.png", "two.png"))
    assert two.shape[1] == 2 * one.shape[1]
    assert (one < 128).any(axis=-1).sum() > 100


def test_the_running_mean_begins_with_the_first_value():
    assert _running_mean([4.0]) == [4.0]
    assert _running_mean([2.0] * 5) == pytest.approx([2.0] * 5)
    means = _running_mean(np.linspace(5, 1, 50).tolist())
    assert 1 < means[-1] < means[0]


def test_no_loss_and_no_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least one step"):
        plot_losses({"stage1": []}, tmp_path / "x.png")
    with pytest.raises(OutputError, match="cannot be written"):
        plot_losses({"stage1": [(1, 1.0)]}, tmp_path / "none" / "x.png")
