"""What experts print, kept at a bounded size."""

import os

import pytest

from groundplane.annotation.experts_log import ExpertsLog, open_output


@pytest.fixture
def path(tmp_path):
    return tmp_path / "experts.log"


def printed(path, data):
    fd = open_output(path)
    os.write(fd, data)
    os.close(fd)


def test_the_last_words_are_those_of_this_process_alone(path):
    printed(path, b"an older one\n")
    log = ExpertsLog(path)
    assert log.last_line() == ""
    printed(path, b"\xff one\n\n  two \n \n")
    assert log.last_line() == "two"
    assert path.read_bytes().startswith(b"an older one\n")


def test_last_words_are_one_printable_line_of_bounded_length(path):
    log = ExpertsLog(path)
    printed(path, b"x" * 10_000)
    assert 0 < len(log.last_line()) < 500
    printed(path, b"\n\x1b[31mred")
    assert log.last_line().isprintable()


def test_a_file_that_is_gone_has_no_last_words_and_is_not_cut(path):
    log = ExpertsLog(path)
    path.unlink()
    log.bound()
    assert log.last_line() == ""


def test_a_file_that_grows_is_cut_to_its_end_and_goes_on(path, monkeypatch):
    monkeypatch.setattr("groundplane.annotation.experts_log._MOST", 1000)
    monkeypatch.setattr("groundplane.annotation.experts_log._KEPT", 100)
    log = ExpertsLog(path)
    held = open_output(path)
    for number in range(1000):
        os.write(held, f"line {number}\n".encode())
        log.bound()
        assert path.stat().st_size <= 1000
    os.close(held)
    assert path.read_text().startswith("[what stood here before was cut]\nline ")
    assert log.last_line() == "line 999"


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="experts"):
        ExpertsLog(path)
    assert not (tmp_path / "other").exists()
