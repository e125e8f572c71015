"""The detector `wild` of `groundplane.testing`, installed where subprocesses find it.

Beside it stands the language model `parrot`, which tells the name of a picture, and ends its
process at one that is called `mute`.
"""

ENTRIES = """[groundplane.detectors]
wild = groundplane.testing.misbehaving:WildDetector
[groundplane.language_models]
parrot = gp_parrot:Parrot
"""
_PARROT = """
import os
from dataclasses import dataclass
from groundplane.core.session import Done, Text
from groundplane.testing.language_models import ScriptedModel

class Parrot(ScriptedModel):
    @dataclass(frozen=True)
    class Options: pass
    def __init__(self, options, *, device="cpu", dtype=None):
        super().__init__(self.say)
    def say(self, index, prompt):
        name = prompt.images[0].source.name
        if name == "mute":
            os._exit(4)
        return [Text(sequence=index, text=name), Done(sequence=index)]
"""


def install_wild(site, monkeypatch):
    """Install it in a folder that subprocesses of this test look into."""
    info = site / "gp_wild-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gp-wild\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (site / "gp_parrot.py").write_text(_PARROT)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
