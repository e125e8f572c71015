"""Maps as 3-D models: read back with the libraries that users look at them with."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from groundplane.core.errors import InputError, OutputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.mapping.cloud import Cloud
from groundplane.spatial.maps.models3d import ENDINGS, save_model
from groundplane.testing.scenes import SceneBuilder

trimesh = pytest.importorskip("trimesh")
rerun = pytest.importorskip("rerun")


@pytest.fixture
def scene(data_dir: Path) -> CognitiveMap:
    path = data_dir / "vsi" / "scenes.json"
    return CognitiveMap.load(path, scene=CognitiveMap.scenes(path)[0])


@pytest.fixture
def cloud() -> Cloud:
    rng = np.random.default_rng(0)
    return Cloud(
        points=rng.normal(size=(50, 3)).astype(np.float32),
        colors=rng.integers(0, 256, (50, 3)).astype(np.uint8),
    )


def _pieces(mesh: object) -> list[np.ndarray]:
    """Vertices of a mesh in groups of the bars of one box."""
    vertices = np.asarray(mesh.vertices)
    return [vertices[i : i + 96] for i in range(0, len(vertices) // 96 * 96, 96)]


def test_bars_of_a_ply_span_the_boxes(scene: CognitiveMap, cloud: Cloud, tmp_path: Path) -> None:
    save_model(scene, tmp_path / "map.ply", cloud=cloud)
    mesh = trimesh.load(tmp_path / "map.ply", process=False)
    assert len(mesh.vertices) == 96 * len(scene) + len(cloud)
    corners = scene.objects.corners().numpy()
    for box, bars in zip(corners, _pieces(mesh), strict=True):
        # Half the thickness of a bar, at most, lies outside of the box along each axis.
        assert np.abs(bars.min(axis=0) - box.min(axis=0)).max() < 0.03
        assert np.abs(bars.max(axis=0) - box.max(axis=0)).max() < 0.03
    assert np.allclose(mesh.vertices[-50:], cloud.points, atol=1e-5)
    assert (np.asarray(mesh.visual.vertex_colors)[-50:, :3] == cloud.colors).all()


def test_a_glb_has_a_node_an_object_with_y_up(scene: CognitiveMap, tmp_path: Path) -> None:
    save_model(scene, tmp_path / "map.glb")
    model = trimesh.load(tmp_path / "map.glb")
    assert set(scene.ids) <= set(model.graph.nodes_geometry)
    low, high = (bound.numpy() for bound in scene.objects.hull())
    for i, key in enumerate(scene.ids):
        turn, name = model.graph[key]
        vertices = trimesh.transform_points(model.geometry[name].vertices, turn)
        assert abs(vertices[:, 1].max() - high[i, 2]) < 0.03
        assert abs(vertices[:, 2].min() + high[i, 1]) < 0.03
        assert abs(vertices[:, 0].min() - low[i, 0]) < 0.03


def test_a_rrd_holds_boxes_labels_and_the_way_of_the_camera(
    scene: CognitiveMap, cloud: Cloud, tmp_path: Path
) -> None:
    poses = [np.eye(4), np.eye(4)]
    poses[1][:3, 3] = (1.0, 2.0, 3.0)
    save_model(scene, tmp_path / "map.rrd", cloud=cloud, cameras=poses)
    # The SDK's own tool reads it; its settings belong nowhere but here.
    tool = Path(sys.executable).with_name("rerun")
    told = {}
    for verb in (["verify"], ["print", "-vvv"]):
        told[verb[0]] = subprocess.run(
            [str(tool), "rrd", *verb, str(tmp_path / "map.rrd")],
            capture_output=True, text=True, check=True, timeout=60,
            env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "settings")},
        ).stdout  # fmt: skip
    for entity in ("/world/objects", "/world/points", "/world/camera"):
        assert entity in told["print"]
    assert scene.ids[0] in told["print"]


@pytest.mark.parametrize("ending", [".ply", ".rrd"])
def test_an_empty_map_gives_an_empty_model(ending: str, tmp_path: Path) -> None:
    save_model(SceneBuilder().build(), tmp_path / f"map{ending}")
    assert (tmp_path / f"map{ending}").stat().st_size > 0


def test_an_empty_glb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        save_model(SceneBuilder().build(), tmp_path / "map.glb")
    assert not list(tmp_path.iterdir())


def test_points_alone_are_a_model(cloud: Cloud, tmp_path: Path) -> None:
    empty = SceneBuilder().build()
    for ending in ENDINGS:
        save_model(empty, tmp_path / f"map{ending}", cloud=cloud)
    read = trimesh.load(tmp_path / "map.ply")
    assert np.allclose(read.vertices, cloud.points, atol=1e-5)


def test_a_turned_box_keeps_its_turn_in_every_kind(tmp_path: Path) -> None:
    scene = SceneBuilder().add("sofa", at=(1, 2, 0.5), size=(2, 1, 1), yaw=30).build()
    save_model(scene, tmp_path / "map.ply")
    mesh = trimesh.load(io.BytesIO((tmp_path / "map.ply").read_bytes()), file_type="ply")
    local = (np.asarray(mesh.vertices) - scene.objects.centers[0].numpy()) @ (
        scene.objects.axes[0].numpy().T
    )
    assert np.allclose(local.max(axis=0), torch.tensor([1.0, 0.5, 0.5]).numpy(), atol=0.02)


def test_other_endings_and_folders_are_refused(scene: CognitiveMap, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.ply, \.glb or \.rrd"):
        save_model(scene, tmp_path / "map.obj")
    with pytest.raises(OutputError, match="cannot be written"):
        save_model(scene, tmp_path / "nowhere" / "map.ply")
