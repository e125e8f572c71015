"""Any text at all, of every dialect: no exception, the same for any split, phrases where they say.

`GROUNDPLANE_FUZZ=1000000` sets how many texts are tried; 50,000 are by default. They are read in
processes of their own, as users read them: without the checks of types that tests run under.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fuzz_scanner import wrong
from outputs import OUTPUTS
from scanned import Found, scan

from groundplane.grounding.dialects import dialects

_TEXTS = int(os.environ.get("GROUNDPLANE_FUZZ", "50000"))
_PROCESSES = 2
_SCRIPT = Path(__file__).parents[1] / "support" / "fuzz_scanner.py"


def test_every_dialect_has_texts_to_garble() -> None:
    assert set(OUTPUTS) == set(dialects())


def test_garbled_texts_are_read_alike_in_any_pieces() -> None:
    count = str(_TEXTS // _PROCESSES)
    running = [
        subprocess.Popen(
            [sys.executable, str(_SCRIPT), count, str(seed)], stderr=subprocess.PIPE, text=True
        )
        for seed in range(_PROCESSES)
    ]

    said = [process.communicate()[1] for process in running]

    assert not any(said), "\n".join(said)
    assert [process.returncode for process in running] == [0] * _PROCESSES


def test_the_check_sees_a_text_that_is_read_otherwise_in_pieces() -> None:
    text, size = OUTPUTS["qwen-vl"][1], (640, 480)
    whole = scan("qwen-vl", [text])
    other = scan("qwen-vl", [text.replace("bowl", "vase")])
    moved = Found(text="x" + whole.text, mentions=whole.mentions, problems=())

    assert "split" in wrong(text, whole, other, size)
    assert not wrong(text, whole, whole, size)
    assert "does not stand" in wrong(text, moved, moved, size)
    assert "outside" in wrong("", whole, whole, size)
    assert "without a part" in wrong(text, whole, whole, (1, 1))
