"""The static page of a run: its data, its safety, its folder; and itself, in a browser."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from groundplane.apps.annotating.page import Page, write_page
from groundplane.apps.annotating.page_pictures import PageTerms
from groundplane.apps.annotating.page_rows import readable, script
from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    VideoFrame,
    rounded_boxes,
    rounded_scores,
)
from groundplane.core.errors import MediaError, OutputError
from groundplane.core.masks import encode, to_counts
from groundplane.testing.annotations import random_records

ASSETS = files("groundplane.apps.annotating").joinpath("page")
CLASSES = ClassTable(
    names=("dog", "<b>car</b>"),
    prompts=(
        AnnotationPrompt(text="dog", class_id=0),
        AnnotationPrompt(text="red car", class_id=1),
        AnnotationPrompt(text="thing", class_id=-1),
    ),
)


def png(size=(40, 30), colour="red"):
    buffer = io.BytesIO()
    PILImage.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def regions(*, scores=(0.9, 0.5), masks=None, **columns):
    n = len(scores)
    return AnnotatedRegions(
        ids=tuple(f"r{i}" for i in range(n)),
        boxes=rounded_boxes(np.array([[1, 2.25, 20, 25], [5, 5, 10, 10]] * n)[:n].astype(float)),
        scores=rounded_scores(list(scores)),
        prompt_ids=np.arange(n) % 3,
        class_ids=np.array([0, 1, -1] * n)[:n],
        kept=np.ones(n, dtype=np.bool_),
        masks=masks,
        **columns,
    )


def done(path, **fields):
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
    fields = {"size": (40, 30), "content_hash": digest, **fields}
    return AnnotationRecord(path=path, status="done", **fields)


def failed(path, message="broken"):
    return AnnotationRecord(
        path=path, content_hash="", status="failed", size=None,
        failure=Failure(stage="decode", message=message),
    )  # fmt: skip


def made(folder, records, **fields):
    fields = {"title": "run", "classes": CLASSES, "read": lambda record: png(), **fields}
    return write_page(Page(records=records, **fields), folder)


def data(folder, name):
    """What a file of data hands to the page."""
    text = (folder / "data" / f"{name}.js").read_text("ascii")
    kind, number = name.rsplit("-", 1)
    found = re.fullmatch(r'groundplane\.take\("(\w+)",(\d+),(.*)\);\n', text)
    assert found, text[:200]
    assert (found[1], found[2]) == (kind, number)
    return json.loads(found[3])


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Data ----------------------------------------------------------------------------------------


def test_a_row_of_the_index_holds_what_the_sheet_shows(tmp_path):
    report = made(tmp_path / "p", [done("a/1.jpg", regions=regions()), failed("b.jpg")])
    first, second = data(tmp_path / "p", "index-0")
    file = first.pop(4)
    assert first == ["a/1.jpg", 0, 40, 30, [0, 9000, 1, 2.25, 20, 25, 1, 5000, 5, 5, 10, 10], ""]
    assert second == ["b.jpg", 1, 0, 0, "", [], "decode: broken"]
    assert (tmp_path / "p" / "thumbs" / f"{file}.jpg").is_file()
    assert (tmp_path / "p" / "pictures" / f"{file}.jpg").is_file()
    assert (report.pictures, report.failed, report.empty, report.regions) == (2, 1, 0, 2)


def test_the_rest_of_a_record_stands_in_its_details(tmp_path):
    mask = encode(np.eye(30, 40, dtype=np.bool_))
    found = regions(
        masks=(mask, None), track_ids=np.array([7, -1]), sources=("opencv", ""),
        attributes=({"hue": "red", "cut": True}, {}),
    )  # fmt: skip
    frame = VideoFrame(video="walk.mp4", index=3, time=0.1)
    record = done(
        "walk.mp4#3", regions=found, frame=frame, caption="A dog.", note="dark",
        outcomes=("found", "cannot", "none"),
    )  # fmt: skip
    made(tmp_path / "p", [record])
    assert data(tmp_path / "p", "regions-0") == [
        [
            ["r0", "r1"], [0, 1], [7, -1], ["opencv", ""], [mask.counts.decode(), 0],
            [[["cut", "yes"], ["hue", "red"]], []],
            ["A dog.", "dark", record.content_hash, 0.1, [1]],
        ]
    ]  # fmt: skip


def test_many_records_are_parted_into_files(tmp_path):
    made(tmp_path / "p", [done(f"{i:05}.jpg") for i in range(1001)], read=None)
    assert data(tmp_path / "p", "meta-0")["shards"] == 2
    assert len(data(tmp_path / "p", "index-0")) == 1000
    assert [row[0] for row in data(tmp_path / "p", "index-1")] == ["01000.jpg"]
    assert len(data(tmp_path / "p", "regions-19")) == 50
    assert len(data(tmp_path / "p", "regions-20")) == 1


def test_a_run_without_records_gives_an_empty_page(tmp_path):
    report = made(tmp_path / "p", [])
    meta = data(tmp_path / "p", "meta-0")
    assert (report.pictures, meta["pictures"], meta["shards"]) == (0, 0, 0)
    assert meta["classes"] == ["dog", "<b>car</b>"]
    assert meta["prompts"] == ["dog", "red car", "thing"]


def test_a_limit_is_told(tmp_path):
    seen = []
    made(tmp_path / "p", [done(f"{i}.jpg") for i in range(5)], limit=2, seen=seen.append)
    assert data(tmp_path / "p", "meta-0")["summary"].startswith("The first 2 of 5 pictures")
    assert len(data(tmp_path / "p", "index-0")) == 2
    assert seen == [1, 2]


@pytest.mark.parametrize("seed", range(8))
def test_generated_records_give_the_same_bytes_twice(tmp_path, seed):
    records = random_records(seed, num=12)
    pages = []
    for name in ("a", "b"):
        write_page(
            Page(title="x", classes=records.classes, records=records, read=records.read),
            tmp_path / name,
        )
        pages.append(contents(tmp_path / name))
    assert pages[0] == pages[1]
    rows = data(tmp_path / "a", "index-0")
    assert [row[0] for row in rows] == [readable(record.path) for record in records]
    shown = [row[5][1::6] for row in rows]
    assert shown == [[round(s * 1e4) for s in r.regions.scores.tolist()] for r in records]


# Pictures ------------------------------------------------------------------------------------


def test_copies_are_small_and_never_enlarged(tmp_path):
    terms = PageTerms(thumb=50, longest=100)
    records = [done("big.png", size=(400, 200)), done("small.png", size=(40, 30))]
    sizes = {"big.png": (400, 200), "small.png": (40, 30)}
    made(tmp_path / "p", records, read=lambda r: png(sizes[r.path]), terms=terms)
    copied = [row[4] for row in data(tmp_path / "p", "index-0")]
    shown = [
        PILImage.open(io.BytesIO((tmp_path / "p" / kind / f"{file}.jpg").read_bytes())).size
        for file in copied
        for kind in ("pictures", "thumbs")
    ]
    assert shown == [(100, 50), (50, 25), (40, 30), (40, 30)]


def gone(record):
    raise MediaError(f"{record.path} is gone")


@pytest.mark.parametrize(
    "read", [gone, lambda record: b"no picture", lambda record: png((41, 30))],
    ids=["gone", "broken", "another"],
)  # fmt: skip
def test_a_picture_that_cannot_be_had_is_counted_and_told(tmp_path, read):
    report = made(tmp_path / "p", [done("a.jpg", regions=regions())], read=read)
    assert report.missing == 1
    assert data(tmp_path / "p", "index-0")[0][4] == ""
    assert "1 picture could not be had" in data(tmp_path / "p", "meta-0")["summary"]


def test_what_failed_after_decoding_has_its_picture(tmp_path):
    broken = AnnotationRecord(
        path="a.png", content_hash="00", status="failed", size=(40, 30),
        failure=Failure(stage="detect", message="expert hung"),
    )  # fmt: skip
    made(tmp_path / "p", [broken])
    assert data(tmp_path / "p", "index-0")[0][4]


def test_a_second_page_takes_the_copies_of_the_first(tmp_path):
    records = [done("a.jpg"), done("b.jpg")]
    made(tmp_path / "p", records)
    before = contents(tmp_path / "p")
    made(tmp_path / "p", records, read=gone)
    assert contents(tmp_path / "p") == before
    changed = [done("a.jpg", content_hash="ff"), done("b.jpg")]
    assert made(tmp_path / "p", changed, read=gone).missing == 1


def test_frames_of_a_video_have_a_copy_each(tmp_path):
    frames = [
        done(f"v.mp4#{i}", content_hash="aa", frame=VideoFrame(video="v.mp4", index=i, time=i / 25))
        for i in range(3)
    ]
    made(tmp_path / "p", frames)
    assert len({row[4] for row in data(tmp_path / "p", "index-0")}) == 3


# The folder ----------------------------------------------------------------------------------


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt.*--out"):
        made(tmp_path, [done("a.jpg")])
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_page_that_fails_leaves_the_earlier_one_and_no_rest(tmp_path):
    made(tmp_path / "p", [done("a.jpg")])
    before = contents(tmp_path)

    def broken(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "p", [done("b.jpg")], read=broken)
    assert contents(tmp_path) == before


def test_a_page_is_written_through_a_link_to_a_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    made(tmp_path / "link", [done("a.jpg")])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").is_file()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "p").write_text("mine")
    with pytest.raises(OutputError, match="name a folder"):
        made(tmp_path / "p", [])


# Safety --------------------------------------------------------------------------------------


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def unsafe(text):
    """What in a page could run or fetch something that is not a file of its own."""
    faults = []
    for tag, attributes in Elements(text).found:
        faults += [f"{tag} {name}" for name in attributes if name.startswith("on")]
        faults += [f"{tag} style" for name in attributes if name == "style"]
        if tag == "style" or (tag == "script" and "src" not in attributes):
            faults.append(f"inline {tag}")
        links = [attributes[name] for name in ("src", "href") if name in attributes]
        faults += [f"{tag} {link}" for link in links if not re.fullmatch(r"[\w.-]+", link)]
    return faults


FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://(?!www\."
    r"w3\.org/2000/svg)|fetch\(|XMLHttpRequest|import\(|setAttribute\(\"on"
)


def test_the_page_holds_no_inline_code_and_fetches_nothing():
    page = ASSETS.joinpath("index.html").read_text()
    assert unsafe(page) == []
    policy = {
        a["content"] for tag, a in Elements(page).found
        if a.get("http-equiv") == "Content-Security-Policy"
    }  # fmt: skip
    assert len(policy) == 1
    parts = dict(part.strip().split(" ", 1) for part in policy.pop().split(";"))
    assert parts["default-src"] == "'none'"
    assert not [value for value in parts.values() if "unsafe" in value or "http" in value]
    for name in ("core.js", "viewer.js", "sheet.js", "page.css"):
        assert FORBIDDEN.findall(ASSETS.joinpath(name).read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["<p onclick=x>", "<script>x</script>", "<style>p{}</style>", "<p style='x'>",
     "<script src='https://x.org/y.js'></script>", "<a href='javascript:x'>"],
)  # fmt: skip
def test_the_check_of_pages_can_fail(text):
    assert unsafe(text)
    assert FORBIDDEN.search("a.innerHTML = b")


def test_every_control_has_a_name_and_every_id_is_there():
    page = ASSETS.joinpath("index.html").read_text()
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    code = "".join(ASSETS.joinpath(n).read_text() for n in ("core.js", "viewer.js", "sheet.js"))
    assert set(re.findall(r'\bget\("([\w-]+)"\)', code)) <= set(ids)
    inside = re.findall(r"<label\b.*?</label>", page, re.S)
    for tag, control in re.findall(r'<(input|select) id="([\w-]+)"', page):
        assert any(f'<{tag} id="{control}"' in label for label in inside)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_one_plain_ascii_call(text):
    written = script("meta", 0, [readable(text)]).decode("ascii")
    assert written.count("\n") == 1
    assert "<" not in written
    body = json.loads(written.removeprefix('groundplane.take("meta",0,').removesuffix(");\n"))
    assert body == [readable(text)]
    assert not re.search(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", body[0])


def test_letters_of_any_script_stay_as_they_are():
    for text in ("红色的车", "🐕‍🦺", "étui", "كلب"):
        assert readable(text) == text


# In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Gives the document that a browser makes of a page at an address of its own."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a Chromium browser, which is not installed here")
    profile = tmp_path_factory.mktemp("profile")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --virtual-time-budget=4000 "
        "--enable-logging=stderr --dump-dom"
    )

    def render(folder, fragment="", name="index.html"):
        address = f"{Path(folder, name).as_uri()}{fragment}"
        command = [browser, f"--user-data-dir={profile}", *flags.split(), address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
        return Elements(ended.stdout).found, ended.stdout, said

    return render


HOSTILE = ("<img src=x onerror=alert(1)>.jpg", "</script><script>alert(1)</script>", "a\n\u202eb")


def test_a_browser_shows_each_picture_and_runs_no_name(tmp_path, rendered):
    records = [done(name, regions=regions()) for name in HOSTILE] + [failed("x", HOSTILE[0])]
    made(tmp_path / "p", records, title=HOSTILE[1])
    found, text, said = rendered(tmp_path / "p")
    assert said == []
    assert sum(a.get("data-at") is not None for _, a in found) == 4
    assert not [a for tag, a in found if tag == "img" and a.get("src") == "x"]
    assert "&lt;img src=x onerror" in text
    assert sum(a.get("class") == "edge" for _, a in found) == 6


def test_a_browser_opens_the_picture_of_the_address(tmp_path, rendered):
    mask = encode(np.pad(np.ones((10, 10), dtype=np.bool_), ((5, 15), (5, 25))))
    records = [done("a.jpg"), done("b.jpg", regions=regions(masks=(mask, mask)), caption="A car.")]
    made(tmp_path / "p", records)
    found, text, said = rendered(tmp_path / "p", "#2")
    assert said == []
    assert ("dialog", "") in [(tag, a.get("open")) for tag, a in found]
    assert sum(a.get("class") == "box" for _, a in found) == 2
    assert "A car." in text
    assert '<h2 id="name" title="b.jpg">b.jpg</h2>' in text


_PAINTED = """<!doctype html><p id="told"></p><script src="CORE"></script><script>
document.getElementById("told").textContent = JSON.stringify(MASKS.map(([text, height, width]) => {
  const image = {width: width, height: height, data: new Uint8ClampedArray(4 * width * height)};
  groundplane.paint(image, text, height, width, [1, 2, 3]);
  const inside = [];
  for (let at = 3; at < image.data.length; at += 4) inside.push(image.data[at] === 255 ? 1 : 0);
  return [groundplane.runsOf(text), inside];
}));
</script>"""


def test_a_browser_reads_and_paints_masks_as_they_are(tmp_path, rendered):
    rng = np.random.default_rng(0)
    dense = [rng.random(shape) < 0.5 for shape in ((1, 1), (7, 3), (13, 40), (200, 90))]
    dense += [np.ones((5, 9), dtype=np.bool_), np.zeros((5, 9), dtype=np.bool_)]
    masks = [encode(mask) for mask in dense]
    listed = json.dumps([[mask.counts.decode(), *mask.size] for mask in masks])
    text = _PAINTED.replace("CORE", ASSETS.joinpath("core.js").as_uri())
    (tmp_path / "masks.html").write_text(text.replace("MASKS", listed))
    _, document, said = rendered(tmp_path, name="masks.html")
    assert said == []
    told = json.loads(html.unescape(re.search(r'<p id="told">(.*?)</p>', document)[1]))
    assert [runs for runs, _ in told] == [to_counts(mask) for mask in masks]
    assert [inside for _, inside in told] == [m.astype(int).ravel().tolist() for m in dense]
