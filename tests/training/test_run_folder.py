from pathlib import Path

import pytest

from groundplane.core.errors import InputError, OutputError
from groundplane.training.configuration import EncoderRule, StageRule, TrainConfig
from groundplane.training.run_folder import RunFolder


@pytest.fixture
def config(tmp_path):
    data = tmp_path / "data.json"
    data.write_text("[]")
    return TrainConfig(
        output=tmp_path / "out",
        language_model=Path("lm"),
        encoders=(EncoderRule(name="clip"),),
        stage1=StageRule(data=data),
    )


def test_a_run_is_gone_on_with_only_where_that_is_wanted(config):
    RunFolder(config).write("report.json", {"a": 1})
    with pytest.raises(InputError, match="holds this run already; go on with it by --resume"):
        RunFolder(config)
    assert RunFolder(config, resume=True).read("report.json") == {"a": 1}


def test_resume_begins_where_there_is_nothing(config):
    folder = RunFolder(config, resume=True)
    assert folder.read("report.json") is None
    assert folder.stage("stage1").is_dir()


def test_a_moved_folder_is_the_same_run(config, tmp_path):
    import dataclasses

    RunFolder(config)
    (tmp_path / "out").rename(tmp_path / "there")
    RunFolder(dataclasses.replace(config, output=tmp_path / "there"), resume=True)


def test_data_that_has_changed_is_another_run(config):
    RunFolder(config)
    config.stage1.data.write_text("[ ]")
    with pytest.raises(InputError, match=r"holds another run: data\..*data.json .* differs"):
        RunFolder(config, resume=True)


def test_a_damaged_run_is_named(config, tmp_path):
    RunFolder(config)
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run.json is damaged"):
        RunFolder(config, resume=True)


def test_a_draft_that_a_kill_left_behind_is_no_other_run(config, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".0123456789abcdef.part").write_text("{")
    assert RunFolder(config).read("run.json")["data"]


def test_a_place_that_is_a_file_is_refused(config, tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        RunFolder(config)


def test_missing_data_is_refused_before_a_folder_is_made(config, tmp_path):
    config.stage1.data.unlink()
    with pytest.raises(InputError, match=r"'data.json': cannot be read"):
        RunFolder(config)
    assert not (tmp_path / "out").exists()
