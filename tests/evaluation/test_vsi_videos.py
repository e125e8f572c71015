"""VSI-Bench from videos: maps of them, their questions, and how they compare with the boxes."""

import json
from dataclasses import replace

import pytest
import torch
from vsi_rooms import write_vsi_room

from groundplane.core.errors import InputError
from groundplane.evaluation.rooms_maps import compare
from groundplane.evaluation.rooms_result import RoomsResult
from groundplane.evaluation.vsi_experts import Crew
from groundplane.evaluation.vsi_files import open_metas, question_lines, videos_by_scene
from groundplane.evaluation.vsi_truth import laid_over, truth_of
from groundplane.evaluation.vsi_videos import VideosJob
from groundplane.testing.scenes import SceneBuilder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return write_vsi_room(tmp_path_factory.mktemp("vsi"))


def crew_for(room, **other):
    options = {"recorded.path": str(room.geometry / "{scene}"), "recorded.match": "time"}
    return Crew(detector=room.detector, geometry="recorded", options=options, **other)


@pytest.fixture(scope="module")
def outcome(room):
    job = VideosJob.of(room.videos, room.questions, crew=crew_for(room), metas=[room.meta])
    return job.evaluate(0)


class TestEndToEnd:
    def test_most_questions_are_answered_rightly_from_the_video(self, outcome):
        assert outcome.failure == ""
        summaries = RoomsResult(records=outcome.records).summaries()
        told = {str(condition): each for condition, each in summaries.items()}
        assert list(told) == ["boxes", "videos"]
        assert told["videos"].answers.mean() >= 0.8
        assert len(told["videos"].answers.items) == len(told["boxes"].answers.items) >= 8

    def test_the_map_is_laid_over_boxes_of_another_world(self, outcome):
        score = outcome.records[-1].map
        assert score.matched >= 0.8 * score.things
        assert sorted(score.position)[len(score.position) // 2] < 0.1
        assert any(pairs for pairs, _, _ in score.bins)

    def test_order_is_told_by_the_video_and_not_by_boxes(self, outcome):
        scores = [
            {answer.item.task: answer.item.score for answer in record.answers}
            for record in outcome.records
        ]
        assert [each["obj_appearance_order"] for each in scores] == [0, 1]

    def test_without_geometry_pictures_tell_numbers_and_the_rest_counts_as_wrong(self, room):
        crew = Crew(detector=room.detector)
        made = VideosJob.of(room.videos, room.questions, crew=crew).evaluate(0)
        [record] = made.records
        scores = {answer.item.task: answer.item for answer in record.answers}
        assert "--geometry depth-pro" in made.failure
        assert isinstance(scores["object_counting"].answer, float)
        assert scores["room_size_estimation"].score == 0
        assert record.map is None

    def test_a_scene_without_a_video_is_one_failure(self, room, tmp_path):
        lines = room.questions.read_text().splitlines()
        gone = json.loads(lines[0]) | {"id": "gone", "scene": "scene0000_99"}
        questions = tmp_path / "questions.jsonl"
        questions.write_text("\n".join([json.dumps(gone), *lines]))
        job = VideosJob.of(room.videos, questions, crew=crew_for(room))
        assert job.scenes == ("scene0000_99", room.name)
        missing = job.evaluate(0)
        assert "there is no video of it" in missing.failure
        assert "nyu-visionx/VSI-Bench" in missing.failure
        assert missing.records == ()

    def test_a_video_that_cannot_be_read_counts_as_wrong(self, room, tmp_path):
        (tmp_path / f"{room.name}.mp4").write_bytes(b"no video")
        made = VideosJob.of(tmp_path, room.questions, crew=crew_for(room)).evaluate(0)
        assert "questions count as wrong" in made.failure
        [record] = made.records
        assert {answer.item.score for answer in record.answers} == {0.0}

    def test_geometry_that_is_not_there_is_a_failure_of_its_scene(self, room, tmp_path):
        crew = crew_for(replace(room, geometry=tmp_path))
        made = VideosJob.of(room.videos, room.questions, crew=crew).evaluate(0)
        assert f"there is no '{room.name}'" in made.failure


class TestTruth:
    TRUE = (
        SceneBuilder()
        .add("sofa", at=(0, 0, 0.5)).add("tv", at=(3, 0, 1)).add("trash can", at=(1, 4, 0.2))
    ).build()  # fmt: skip

    def test_what_was_not_looked_for_is_no_truth(self):
        made = truth_of(self.TRUE, ["tv", "couch"])
        assert made.labels == ("sofa", "tv")
        assert set(made.counts) == {"sofa", "tv"}

    def test_a_wrong_map_stays_wrong_when_it_is_laid_over(self):
        moved = self.TRUE.objects.centers.clone()
        moved[0] += torch.tensor([0.0, 3.0, 0.0], dtype=moved.dtype)
        wrong = replace(self.TRUE, objects=replace(self.TRUE.objects, centers=moved))
        assert compare(laid_over(wrong, self.TRUE), self.TRUE).matched < 3
        assert compare(laid_over(self.TRUE, self.TRUE), self.TRUE).matched == 3

    def test_a_map_of_other_things_stays_where_it_is(self):
        other = SceneBuilder().add("plant", at=(9, 9, 0)).build()
        assert compare(laid_over(other, self.TRUE), self.TRUE).matched == 0

    def test_an_empty_map_is_compared_too(self):
        empty = SceneBuilder().build()
        assert compare(laid_over(empty, self.TRUE), self.TRUE).found == 0


class TestFiles:
    def test_parquet_is_read_as_json_lines_are(self, room, tmp_path):
        pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        from pyarrow import parquet

        rows = [json.loads(line) for line in room.questions.read_text().splitlines()]
        file = tmp_path / "test-00000-of-00001.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
        assert [json.loads(line) for line in question_lines(file)] == rows

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
    def test_a_damaged_parquet_file_is_named(self, tmp_path, content):
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
        file = tmp_path / "q.parquet"
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"questions 'q\.parquet': no Parquet file"):
            question_lines(file)

    def test_videos_are_found_by_scene_in_folders_of_datasets_too(self, room, tmp_path):
        (tmp_path / "scannet").mkdir()
        for name in ("a.mp4", "scannet/b.MOV", "scannet/a.mp4", "notes.txt"):
            (tmp_path / name).write_bytes(b"")
        found = videos_by_scene(tmp_path)
        assert {name: len(paths) for name, paths in found.items()} == {"a": 2, "b": 1}
        assert list(videos_by_scene(room.geometry)) == [room.name]

    def test_a_scene_with_two_videos_is_a_failure(self, room, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / f"{room.name}.mp4").write_bytes(b"")
        made = VideosJob.of(tmp_path, room.questions, crew=Crew()).evaluate(0)
        assert "there are 2 videos of it" in made.failure

    def test_no_video_at_all_says_where_they_are_had(self, room, tmp_path):
        with pytest.raises(InputError, match=r"no video of any of the 1 scenes.*Hugging Face"):
            VideosJob.of(tmp_path, room.questions, crew=Crew())

    def test_no_folder_is_named(self, room, tmp_path):
        with pytest.raises(InputError, match="No such file"):
            VideosJob.of(tmp_path / "nowhere", room.questions, crew=Crew())

    def test_a_scene_in_two_meta_files_is_named(self, room):
        with pytest.raises(InputError, match="in a file before it"):
            open_metas([room.meta, room.meta])
