"""The detector `wild` of `groundplane.testing`, installed where subprocesses find it."""

ENTRY = "groundplane.testing.misbehaving:WildDetector"


def install_wild(site, monkeypatch):
    """Install it in a folder that subprocesses of this test look into."""
    info = site / "gp_wild-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gp-wild\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[groundplane.detectors]\nwild = {ENTRY}\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
