import pickle

import pytest
import torch
from tiny_training import make_learner, save_data

from groundplane.core.errors import InputError, MediaError
from groundplane.core.media import list_images
from groundplane.training.caching import store_pictures
from groundplane.training.rows import ViewedPictures


@pytest.fixture
def files(tmp_path):
    return list_images(save_data(tmp_path / "d", count=5).parent)


def test_what_is_stored_is_what_the_towers_give(files, tmp_path):
    model = make_learner().model
    view = model.config.seen
    pictures, encoded = store_pictures(model, [*files, files[0]], view, tmp_path / "cache")
    assert encoded == 5
    got = pictures.read([files[3], files[1]])["tower_features"]
    wanted = model.encode(**ViewedPictures(view=view).read([files[3], files[1]]))
    for one, two in zip(got, wanted, strict=True):
        # A batch of another size may be multiplied in another order.
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_other_weights_are_encoded_anew_and_the_same_are_not(files, tmp_path):
    one, other = make_learner().model, make_learner().model
    other.towers[0].network.project.bias.data[0] += 1
    store_pictures(one, files, one.config.seen, tmp_path / "cache")
    assert store_pictures(one, files, one.config.seen, tmp_path / "cache")[1] == 0
    assert store_pictures(other, files, other.config.seen, tmp_path / "cache")[1] == 5


def test_another_process_opens_the_store_itself(files, tmp_path):
    model = make_learner().model
    pictures, _ = store_pictures(model, files, model.config.seen, tmp_path / "cache")
    pictures.read(files)
    again = pickle.loads(pickle.dumps(pictures)).read(files)["tower_features"]
    assert torch.equal(again[0], pictures.read(files)["tower_features"][0])


def test_features_that_are_lost_are_named(files, tmp_path):
    model = make_learner().model
    pictures, _ = store_pictures(model, files, model.config.seen, tmp_path / "cache")
    for shard in (tmp_path / "cache").rglob("*.safetensors"):
        shard.unlink()
    with pytest.raises(InputError, match=r"has lost the features of .*\.png; start again"):
        pictures.read(files)


def test_a_picture_that_cannot_be_read_is_named(files, tmp_path):
    files[2].write_bytes(b"no picture")
    model = make_learner().model
    with pytest.raises(MediaError, match=files[2].name):
        store_pictures(model, files, model.config.seen, tmp_path / "cache")
