"""The backend as Label Studio's connector speaks to it, in this process and over loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image as PILImage

from groundplane.annotation.items import Picture
from groundplane.annotation.looking import failed_record
from groundplane.annotation.spec import JobSpec
from groundplane.apps.label_studio_backend import LabelsTerms, Predictor, make_app
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.errors import InputError, PluginNotFoundError
from groundplane.core.masks import encode
from groundplane.plugins.label_studio import read_label_config, result_faults

CONFIG = (
    '<View><Image name="img" value="$photo"/><RectangleLabels name="box" toName="img">'
    '<Label value="Car" predicted_values="car, van"/><Label value="Dog"/></RectangleLabels>'
    '<BrushLabels name="brush" toName="img"><Label value="Car"/></BrushLabels></View>'
)
TOKEN = "a-token-of-the-tests-only"


class Stub:
    """Finds one thing of each prompt, and a candidate that nobody wants to see."""

    seconds: dict[str, float] = {}  # noqa: RUF012
    lacking: dict[str, str] = {}  # noqa: RUF012
    largest: int | None = None

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.seen: list[Picture] = []
        self.closed = False

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        self.seen += pictures
        return [self._record(picture) for picture in pictures]

    def _record(self, picture: Picture) -> AnnotationRecord:
        if picture.path == "bad.png":
            return failed_record(picture, "detect", "detector 'stub' failed in /srv/secret")
        width, height = picture.size
        n = len(self.spec.classes.prompts)
        mask = encode(np.ones((height, width), dtype=bool))
        regions = AnnotatedRegions(
            ids=tuple(f"r{i}" for i in range(n + 1)),
            boxes=np.array([[1.0, 2.0, width, height]] * (n + 1)),
            scores=np.array([0.5] * (n + 1)),
            prompt_ids=np.array([*range(n), 0]),
            class_ids=np.array([*(p.class_id for p in self.spec.classes.prompts), 0]),
            kept=np.array([True] * n + [False]),
            masks=None if self.spec.segmenter is None else (mask,) * (n + 1),
        )
        return AnnotationRecord(
            path=picture.path, content_hash="", status="done", size=picture.size, regions=regions
        )

    def close(self) -> None:
        self.closed = True


class Backend:
    """The server in this process."""

    def __init__(self, **terms: object) -> None:
        self.made: list[Stub] = []
        self.block: threading.Event | None = None
        self.app = make_app(Predictor(LabelsTerms(**terms), make_looker=self._make))

    def _make(self, spec: JobSpec) -> Stub:
        if self.block is not None:
            self.block.wait(20)
        if spec.detector == "no-such":
            raise PluginNotFoundError("detector 'no-such' is not installed; see /usr/lib")
        self.made.append(Stub(spec))
        return self.made[-1]

    def ask(self, path: str, body: object = None, *, method: str = "POST") -> tuple[int, object]:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                return await client.request(method, path, content=content)

        reply = asyncio.run(call())
        return reply.status_code, reply.json() if reply.content else None

    def predict(self, *addresses: object, config: object = CONFIG) -> tuple[int, dict]:
        tasks = [{"id": i, "data": {"photo": each}} for i, each in enumerate(addresses)]
        request = {"tasks": tasks, "project": "1.5", "label_config": config, "params": {}}
        return self.ask("/predict", request)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    (root / "upload/1").mkdir(parents=True)
    for name in ("a b.png", "upload/1/c.png", "bad.png", "红.png"):
        PILImage.new("RGB", (40, 20)).save(root / name)
    (root / "broken.png").write_bytes(b"\x89PNG\r\n broken")
    PILImage.new("RGB", (40, 20)).save(tmp_path / "outside.png")
    return root


def test_health_and_setup_answer_at_once(folder: Path) -> None:
    backend = Backend(roots=(folder,), detector="stub")
    for path in ("/", "/health"):
        assert backend.ask(path, method="GET")[1]["status"] == "UP"
    request = {"project": "1.5", "schema": CONFIG, "hostname": "http://host", "access_token": "x"}
    assert backend.ask("/setup", request) == (200, {"model_version": "groundplane stub"})
    assert backend.ask("/webhook", {"action": "ANNOTATION_CREATED"}) == (200, {})


def test_a_prediction_fits_the_configuration(folder: Path) -> None:
    backend = Backend(roots=(folder,), segmenter="sam")
    status, reply = backend.predict("/data/local-files/?d=a%20b.png")
    assert status == 200
    (prediction,) = reply["results"]
    assert result_faults(prediction["result"], read_label_config(CONFIG)) == []
    kinds = [(r["type"], r["value"][r["type"]]) for r in prediction["result"]]
    assert kinds == [
        ("rectanglelabels", ["Car"]), ("brushlabels", ["Car"]),
        ("rectanglelabels", ["Car"]), ("brushlabels", ["Car"]), ("rectanglelabels", ["Dog"]),
    ]  # fmt: skip
    value = prediction["result"][0]["value"]
    assert (value["x"], value["y"], value["rotation"]) == (2.5, 10.0, 0)
    assert prediction["score"] == 0.5


def test_labels_lead_to_prompts_by_their_words(folder: Path) -> None:
    backend = Backend(roots=(folder,), segmenter="sam")
    backend.predict("a b.png")
    classes = backend.made[0].spec.classes
    assert classes.names == ("Car", "Dog")
    assert [(p.text, p.class_id) for p in classes.prompts] == [("car", 0), ("van", 0), ("Dog", 1)]


def test_masks_are_made_only_for_brushes(folder: Path) -> None:
    backend = Backend(roots=(folder,), segmenter="sam")
    backend.predict("a b.png", config=re.sub("<BrushLabels.*</BrushLabels>", "", CONFIG))
    assert backend.made[0].spec.segmenter is None


@pytest.mark.parametrize(
    "address",
    [
        "a b.png", "/data/local-files/?d=a b.png", "/data/local-files?d=a+b.png",
        "http://localhost:8080/data/local-files/?d=a%20b.png", "/data/upload/1/c.png",
        "/data/local-files/?d=%E7%BA%A2.png",
    ],
)  # fmt: skip
def test_pictures_of_label_studio_are_found_below_the_folders(folder: Path, address: str) -> None:
    status, reply = Backend(roots=(folder,)).predict(address)
    assert status == 200, reply
    assert reply["results"][0]["result"]


def test_pictures_may_come_within_the_request(folder: Path) -> None:
    data = base64.b64encode((folder / "a b.png").read_bytes()).decode()
    backend = Backend()
    assert backend.predict(f"data:image/png;base64,{data}")[0] == 200
    assert backend.made[0].seen[0].size == (40, 20)


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("http://127.0.0.1/x.png", 403, "refused"),
        ("https://example.org/x.png", 403, "refused"),
        ("http://169.254.169.254/latest", 403, "refused"),
        ("file:///etc/passwd", 403, "refused"),
        ("s3://bucket/x.png", 403, "refused"),
        ("//host/x.png", 403, "refused"),
        ("http://[", 403, "refused"),
        ("/data/local-files/?d=../outside.png", 403, "refused"),
        ("/data/local-files/?d=/etc/passwd", 403, "refused"),
        ("/data/upload/../../outside.png", 403, "refused"),
        ("/data/upload/%2e%2e/%2e%2e/outside.png", 403, "refused"),
        ("nothing.png", 404, "not_found"),
        ("broken.png", 422, "bad_picture"),
        ("data:image/png,abc", 400, "bad_request"),
        ("data:image/png;base64,?", 400, "bad_request"),
        ("data:image/png;base64,AAAA", 422, "bad_picture"),
        (7, 400, "bad_request"),
        (None, 400, "bad_request"),
        ("", 403, "refused"),
        ("a\0b", 403, "refused"),
        ("bad.png", 500, "expert_failed"),
    ],
)
def test_what_is_refused_says_so_and_names_nothing_of_this_machine(
    folder: Path, address: object, status: int, code: str
) -> None:
    got, reply = Backend(roots=(folder,)).predict(address)
    assert (got, reply["error"]["code"]) == (status, code)
    assert str(folder) not in json.dumps(reply)
    assert "/srv" not in json.dumps(reply)


def test_one_bad_task_does_not_spoil_the_others(folder: Path) -> None:
    addresses = ["a b.png", "nothing.png", *["a b.png"] * 9, "bad.png"]
    status, reply = Backend(roots=(folder,)).predict(*addresses)
    assert status == 200
    assert [bool(one["result"]) for one in reply["results"]] == [True, False, *[True] * 9, False]
    assert [one["error"]["code"] for one in reply["results"] if "error" in one] == [
        "not_found",
        "expert_failed",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"7", b"[" * 100_000, b"{}", b'{"tasks": []}', b"\xff",
        b'{"label_config": 7, "tasks": [{}]}', b'{"label_config": "<View/>", "tasks": [{}]}',
        json.dumps({"label_config": CONFIG}).encode(),
        json.dumps({"label_config": CONFIG, "tasks": [7]}).encode(),
        json.dumps({"label_config": CONFIG, "tasks": [{}] * 1001}).encode(),
        json.dumps({"label_config": CONFIG, "tasks": [{"data": []}]}).encode(),
    ],
)  # fmt: skip
def test_malformed_requests_are_refused(folder: Path, body: bytes) -> None:
    backend = Backend(roots=(folder,))
    status, reply = backend.ask("/predict", body)
    assert (status, reply["error"]["code"]) in ((400, "bad_request"), (400, "bad_input"))
    if b"tasks" not in body:
        assert backend.ask("/setup", body)[0] == (200 if b"<View><Image" in body else 400)


def test_a_word_of_two_labels_is_refused_by_its_name(folder: Path) -> None:
    config = CONFIG.replace('value="Dog"', 'value="Dog" predicted_values="car"')
    status, reply = Backend(roots=(folder,)).predict("a b.png", config=config)
    assert status == 400
    assert "'car' stands twice" in reply["error"]["message"]


def test_an_expert_that_is_missing_is_told_without_places(folder: Path) -> None:
    backend = Backend(roots=(folder,), detector="no-such")
    assert backend.ask("/setup", {"schema": CONFIG})[0] == 200
    status, reply = backend.predict("a b.png")
    assert (status, reply["error"]["code"]) == (503, "expert_missing")
    assert "/usr" not in json.dumps(reply)


def test_experts_are_kept_for_two_configurations(folder: Path) -> None:
    backend = Backend(roots=(folder,))
    configs = [CONFIG.replace("Dog", name) for name in ("Cat", "Cow", "Cat", "Hen", "Cow")]
    for config in configs:
        backend.predict("a b.png", config=config)
    assert [stub.spec.classes.names[1] for stub in backend.made] == ["Cat", "Cow", "Hen", "Cow"]
    assert [stub.closed for stub in backend.made] == [True, True, False, False]


def test_other_routes_and_methods_are_none(folder: Path) -> None:
    backend = Backend(roots=(folder,))

    async def status(path: str, method: str) -> int:
        transport = httpx.ASGITransport(backend.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.request(method, path)).status_code

    for path in ("/train", "/metrics", "/docs", "/data/local-files/"):
        assert asyncio.run(status(path, "POST")) == 404
    assert asyncio.run(status("/predict", "GET")) == 405


def test_more_than_can_wait_is_told_so(folder: Path) -> None:
    go_on = threading.Event()
    backend = Backend(roots=(folder,))
    backend.block = go_on
    setup = {"schema": CONFIG}
    statuses = [backend.ask("/setup", setup)[0] for _ in range(20)]
    assert statuses == [200] * 16 + [503] * 4
    assert backend.predict("a b.png")[1]["error"]["code"] == "busy"
    go_on.set()
    end = time.monotonic() + 20
    while backend.predict("a b.png")[0] != 200:
        assert time.monotonic() < end


def test_a_time_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="deadline"):
        Predictor(LabelsTerms(deadline=float("nan")))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Predictor(LabelsTerms(roots=(tmp_path / "none",)))


# Over loopback -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The command itself on a free port, with the experts that come with groundplane."""
    folder = tmp_path_factory.mktemp("labels")
    PILImage.new("RGB", (64, 48), "grey").save(folder / "a.png")
    log = folder.parent / f"{folder.name}.log"
    command = [
        sys.executable, "-m", "groundplane", "serve-labels", "--root", str(folder), "--detector",
        "opencv", "--device", "cpu", "--http", "127.0.0.1:0", "--token-env", "LABELS_TOKEN",
    ]  # fmt: skip
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=os.environ | {"LABELS_TOKEN": TOKEN}, stderr=stream, stdout=stream
        )
    try:
        end = time.monotonic() + 60
        while not (told := re.search(r"listening on (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield told[1], folder
        assert TOKEN not in log.read_text()
    finally:
        process.terminate()
        process.wait(20)


def test_label_studio_speaks_to_the_command_with_a_password(server: tuple[str, Path]) -> None:
    address, _ = server
    config = CONFIG.replace('"car, van"', '"face"').replace('"Dog"', '"eye"')
    task = {"id": 1, "data": {"photo": "/data/local-files/?d=a.png"}}
    with httpx.Client(base_url=address, auth=("label-studio", TOKEN), timeout=60) as client:
        assert client.get("/health").json()["status"] == "UP"
        setup = client.post("/setup", json={"project": "1.1", "schema": config})
        assert setup.json() == {"model_version": "groundplane opencv"}
        asked = {"tasks": [task], "label_config": config, "project": "1.1"}
        reply = client.post("/predict", json=asked)
    assert reply.status_code == 200, reply.text
    assert reply.json()["results"] == [
        {"model_version": "groundplane opencv", "score": 0.0, "result": []}
    ]


def test_nobody_else_gets_in(server: tuple[str, Path]) -> None:
    address, _ = server
    for auth in (None, ("label-studio", "wrong"), (TOKEN, "")):
        assert httpx.get(f"{address}/health", auth=auth).status_code == 401
    good = ("label-studio", TOKEN)
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert httpx.get(f"{address}/health", auth=good, headers=headers).status_code == 403
