"""Killed in the middle, cut off, altered, foreign: what is wrong is named and never read."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from groundplane.core.errors import InputError, OutputError
from groundplane.core.feature_packing import pack_tensor
from groundplane.core.feature_shards import DamagedShardError, Shard
from groundplane.core.feature_store import FeatureStore

CASES = int(os.environ.get("GROUNDPLANE_CASES", "60"))


def fill(folder, shards=2, each=3):
    """A folder of some shards; the value of a key says which it is."""
    with FeatureStore(folder) as store:
        for shard in range(shards):
            for i in range(each):
                number = shard * each + i
                store.put(number, {"value": torch.full((64,), float(number))})
            store.flush()
    return folder


def shard_files(folder):
    return sorted((folder / "shards").glob("*.safetensors"))


def held(folder, count=6):
    """Which of the keys are there; any that is there must be right."""
    store, there = FeatureStore(folder), []
    for number in range(count):
        read = store.get(number)
        if read is not None:
            assert read["value"].tolist() == [float(number)] * 64
            there.append(number)
    return there


def header_of(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path, header, body):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


class TestDamage:
    @pytest.mark.parametrize("left", [0, 4, 8, 100, -1])
    def test_a_shard_that_is_cut_off_is_named_and_made_anew(self, tmp_path, caplog, left):
        path = shard_files(fill(tmp_path, shards=1))[0]
        path.write_bytes(path.read_bytes()[:left])
        store = FeatureStore(tmp_path)
        assert store.get(0) is None
        assert path.name in caplog.text
        assert "is made anew" in caplog.text
        assert store.stats.damaged == 1
        made = store.get_or_make_all([0], lambda places: [torch.ones(1)], pack_tensor())
        store.flush()
        assert made[0].item() == 1
        assert FeatureStore(tmp_path).get(0)["value"].item() == 1

    def test_a_byte_that_was_altered_is_found(self, tmp_path, caplog):
        path = shard_files(fill(tmp_path, shards=1))[0]
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
        assert len(held(tmp_path)) < 3
        assert "checksum" in caplog.text

    @settings(
        max_examples=CASES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.data())
    def test_whatever_happens_to_bytes_nothing_wrong_is_read(self, tmp_path_factory, data):
        folder = fill(tmp_path_factory.mktemp("store"))
        path = data.draw(st.sampled_from([*shard_files(folder), folder / "index.jsonl"]))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, max(0, len(content) - 1)))
            match data.draw(st.sampled_from(["flip", "cut", "put", "take"])):
                case "flip" if content:
                    content[place] ^= 1 << data.draw(st.integers(0, 7))
                case "cut":
                    del content[place:]
                case "put":
                    content[place:place] = data.draw(st.binary(max_size=9))
                case "take":
                    del content[place : place + data.draw(st.integers(1, 9))]
        path.write_bytes(content)
        held(folder)  # compares what is there
        # And what could not be read can be made and read again.
        with FeatureStore(folder) as store:
            for number in range(6):
                store.put(number, {"value": torch.full((64,), float(number))})
        assert held(folder) == list(range(6))

    def test_a_shard_that_is_gone_is_named(self, tmp_path, caplog):
        shard_files(fill(tmp_path))[0].unlink()
        assert len(held(tmp_path)) == 3
        assert "is gone" in caplog.text

    def test_another_reader_of_a_damaged_store_writes_nothing(self, tmp_path):
        path = shard_files(fill(tmp_path, shards=1))[0]
        path.write_bytes(b"short")
        index = (tmp_path / "index.jsonl").read_bytes()
        store = FeatureStore(tmp_path, read_only=True)
        assert store.get(0) is None
        assert store.get(1) is None
        assert store.stats.damaged == 1
        assert (tmp_path / "index.jsonl").read_bytes() == index
        assert path.exists()


class TestForeign:
    def test_files_of_others_are_named_and_left_alone(self, tmp_path, caplog):
        fill(tmp_path)
        shards = tmp_path / "shards"
        (shards / "notes.txt").write_text("mine")
        save_file({"w": torch.ones(2)}, shards / "weights.safetensors")
        (shards / "evil.pt").write_bytes(b"\x80\x04cos\nsystem\n.")
        assert held(tmp_path) == list(range(6))
        for name in ("notes.txt", "weights.safetensors", "evil.pt"):
            assert name in caplog.text
            assert (shards / name).exists()

    def test_a_copy_of_a_shard_is_named_and_listed_never(self, tmp_path, caplog):
        path = shard_files(fill(tmp_path, shards=1))[0]
        (tmp_path / "shards" / "copy.safetensors").write_bytes(path.read_bytes())
        before = (tmp_path / "index.jsonl").read_bytes()
        assert held(tmp_path) == [0, 1, 2]
        assert (tmp_path / "index.jsonl").read_bytes() == before
        assert "copy.safetensors" in caplog.text

    def test_a_shard_of_another_version_is_not_read(self, tmp_path, caplog):
        path = shard_files(fill(tmp_path, shards=1))[0]
        header, body = header_of(path)
        header["__metadata__"]["groundplane-features"] = "99"
        write_header(path, header, body)
        assert held(tmp_path) == []
        assert "no shard of format 1" in caplog.text

    @pytest.mark.parametrize(
        "entries",
        [
            "",
            "[]",
            "null",
            '{"x": [0, []]}',
            '{"%s": 1}',
            '{"%s": [0, ["nothing"]]}',
            "[" * 5000,
            '{"%s": [1e999, []]}',
        ],
    )
    def test_a_list_of_encodings_that_is_malformed_is_refused(self, tmp_path, entries):
        path = shard_files(fill(tmp_path, shards=1))[0]
        header, body = header_of(path)
        header["__metadata__"]["entries"] = entries.replace("%s", "0" * 64)
        write_header(path, header, body)
        with pytest.raises(DamagedShardError):
            Shard(path)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("dtype", "F99"), ("shape", [65]), ("shape", [-64]), ("shape", "x"), ("dtype", None)],
    )
    def test_a_tensor_that_does_not_fill_its_bytes_is_refused(self, tmp_path, field, value):
        path = shard_files(fill(tmp_path, shards=1))[0]
        header, body = header_of(path)
        next(entry for name, entry in header.items() if name[0] != "_")[field] = value
        write_header(path, header, body)
        with pytest.raises(DamagedShardError):
            Shard(path)

    @pytest.mark.parametrize(
        "line",
        [
            b'{"add":"../../../etc/passwd","bytes":1,"keys":[]}',
            b'{"add":"0123456789abcdef.safetensors","bytes":1,"keys":["../x"]}',
            b'{"drop":["../store.json"]}',
            b'{"drop":5}',
            b'{"add":5}',
            b'{"add":"0123456789abcdef.safetensors","bytes":1e999,"keys":[]}',
            b'{"add":"0123456789abcdef.safetensors","bytes":-9,"keys":[]}',
            b"null",
            b"\xff\xfe",
            b"[" * 9999,
        ],
    )
    def test_a_line_of_the_index_that_is_none_of_ours_is_skipped(self, tmp_path, caplog, line):
        fill(tmp_path)
        with (tmp_path / "index.jsonl").open("ab") as file:
            file.write(line + b"\n")
        assert held(tmp_path) == list(range(6))
        assert "a line is skipped" in caplog.text
        assert (tmp_path / "store.json").exists()


class TestKilled:
    def test_a_line_that_was_cut_off_costs_nothing_else(self, tmp_path):
        fill(tmp_path, shards=1)
        with (tmp_path / "index.jsonl").open("ab") as file:
            file.write(b'\n{"add":"0123456789abcdef.safe')
        with FeatureStore(tmp_path) as store:
            store.put(3, {"value": torch.full((64,), 3.0)})
        assert held(tmp_path) == [0, 1, 2, 3]

    def test_a_shard_that_no_line_names_is_taken_up(self, tmp_path):
        fill(tmp_path)
        (tmp_path / "index.jsonl").unlink()
        assert held(tmp_path) == list(range(6))
        assert FeatureStore(tmp_path, read_only=True).stats.entries == 6

    def test_a_shard_that_was_given_up_and_not_removed_is_removed(self, tmp_path):
        path = shard_files(fill(tmp_path, shards=1))[0]
        data = path.read_bytes()
        FeatureStore(tmp_path).clear()
        path.write_bytes(data)
        assert held(tmp_path) == []
        assert not path.exists()

    def test_drafts_of_the_dead_are_taken_away_and_those_of_the_living_are_not(self, tmp_path):
        fill(tmp_path)
        old, new = tmp_path / "shards" / ".old.part", tmp_path / "shards" / ".new.part"
        for path in (old, new):
            path.write_bytes(b"half")
        os.utime(old, (time.time() - 10_000,) * 2)
        FeatureStore(tmp_path)
        assert (old.exists(), new.exists()) == (False, True)

    def test_a_draft_that_is_renamed_meanwhile_is_no_fault(self, tmp_path, monkeypatch):
        gone = fill(tmp_path) / "shards" / ".gone.part"
        listed = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda self: [*listed(self), gone])
        assert FeatureStore(tmp_path).stats.entries == 6

    def test_a_process_that_is_killed_again_and_again_leaves_nothing_wrong(self, tmp_path):
        code = """
import sys, torch
from groundplane.core.feature_store import FeatureStore
store = FeatureStore(sys.argv[1], 60_000)
print("ready", flush=True)
i = 0
while True:
    i = (i + 1) % 200
    store.put((int(sys.argv[2]), i), {"value": torch.full((64,), float(i))})
    if i % 7 == 0:
        store.flush()
"""
        kills = int(os.environ.get("GROUNDPLANE_KILLS", "3"))
        for round_ in range(kills):
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path), str(round_)], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + 0.07 * round_)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            process.stdout.close()
        store, found = FeatureStore(tmp_path), 0
        for round_ in range(kills):  # the oldest may be given up for room
            for i in range(200):
                read = store.get((round_, i))
                if read is not None:
                    found += 1
                    assert read["value"].tolist() == [float(i)] * 64
        assert found > 0
        assert store.stats.damaged == 0


class TestFullDisk:
    def test_a_disk_that_is_full_is_told_with_the_file(self, tmp_path, monkeypatch):
        store = FeatureStore(tmp_path)
        store.put("a", {"value": torch.ones(1)})

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            store.flush()
        monkeypatch.undo()
        assert [p for p in (tmp_path / "shards").iterdir() if p.suffix == ".part"] == []
        store.put("a", {"value": torch.ones(1)})
        store.flush()
        assert FeatureStore(tmp_path).get("a") is not None

    def test_an_index_that_cannot_be_written_is_told(self, tmp_path):
        fill(tmp_path)
        (tmp_path / "index.jsonl").unlink()
        (tmp_path / "index.jsonl").mkdir()
        with pytest.raises((OutputError, InputError), match=r"index\.jsonl"):
            FeatureStore(tmp_path)
