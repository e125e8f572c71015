"""What is refused for its size."""

import pytest
import torch

from groundplane.core.errors import InputError
from groundplane.spatial.scale import memory
from groundplane.spatial.scale.memory import LIMIT, format_bytes, free_bytes, require_memory

CPU = torch.device("cpu")
WORDS = {"what": "pairs: 2 x 2 objects", "instead": "a smaller radius", "device": CPU}


def test_what_fits_is_let_through():
    require_memory(0, **WORDS)
    require_memory(1_000_000, **WORDS)
    require_memory(100, **WORDS, limit=100)


def test_what_is_over_the_limit_is_refused_with_its_size_and_what_to_do():
    with pytest.raises(
        InputError, match=r"objects take 101 bytes; allowed are 100 bytes.*Try: a smaller radius"
    ):
        require_memory(101, **WORDS, limit=100)
    with pytest.raises(InputError, match=r"take 5\.0 GB; allowed are 4\.3 GB"):
        require_memory(5 * 10**9, **WORDS)


def test_what_is_larger_than_what_is_free_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1_000_000)
    with pytest.raises(InputError, match=r"free on cpu are 1\.0 MB"):
        require_memory(100_000_000, **WORDS)


def test_where_the_system_does_not_tell_what_is_free_the_limit_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert free_bytes(CPU) is None
    require_memory(LIMIT, **WORDS)
    with pytest.raises(InputError, match=r"allowed are 4\.3 GB\. Try"):
        require_memory(LIMIT + 1, **WORDS)


def test_free_memory_is_what_the_system_can_give_not_what_lies_idle(monkeypatch, tmp_path):
    table = tmp_path / "meminfo"
    table.write_text("MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 5 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", table)
    assert free_bytes(CPU) == 5 * 1024
    table.write_text("MemTotal: 8 kB\n")
    assert free_bytes(CPU) is None
    assert free_bytes(torch.device("meta")) is None


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (12_500_000, "12.5 MB"),
        (3 * 10**12, "3.0 TB"),
    ],
)
def test_bytes_are_written_in_powers_of_a_thousand(count, text):
    assert format_bytes(count) == text
