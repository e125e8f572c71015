"""`groundplane serve-labels`: the experts as a machine learning backend of Label Studio.

It speaks what Label Studio's connector asks: `/health`, `/setup`, `/predict`. Pictures are read
below declared folders, or come within the request; nothing is ever fetched from an address.

Source: https://labelstud.io/guide/ml_create, `label_studio_ml/api.py` of
HumanSignal/label-studio-ml-backend, and `label_studio/ml/api_connector.py` of Label Studio.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import threading
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from groundplane.annotation.items import Picture
from groundplane.annotation.looking import Looker, LookTerms
from groundplane.annotation.spec import JobSpec
from groundplane.apps.given import expert_options
from groundplane.apps.listening import (
    check_address,
    listen,
    make_token,
    serve_guarded,
    server_names,
    shown_address,
    tell,
)
from groundplane.apps.mcp.errors import ToolError, harmless, told
from groundplane.apps.mcp.files import Roots
from groundplane.apps.mcp.guard import MOST_HEADERS, Guard
from groundplane.core.annotation import AnnotationPrompt, AnnotationRecord, ClassTable
from groundplane.core.errors import GroundplaneError
from groundplane.core.hub import need_library
from groundplane.core.media import MediaLimits, read_image
from groundplane.plugins.label_studio import LabelConfig, read_label_config, region_results

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

__all__ = ["LabelsJob", "LabelsTerms", "Predictor", "make_app", "run"]

_WHO = "groundplane serve-labels"
_MOST_TASKS, _MOST_WAITING = 1_000, 16
# Each holds the experts' weights: one project, and another that is switched to.
_MOST_LOOKERS = 2
_BATCH = 8
_STATUS = {
    "bad_request": 400, "bad_input": 400, "refused": 403, "not_found": 404, "bad_picture": 422,
    "expert_missing": 503, "expert_died": 503, "busy": 503, "too_slow": 504,
}  # fmt: skip

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsTerms:
    """Who looks, and where pictures may lie.

    Attributes:
        roots: Folders that pictures may be read from; addresses of local files and of uploads
            are looked for below them.
        detector: Name of the expert, or several with commas between them; None for all.
        segmenter: Who makes masks, where a configuration has brush labels.
        options: Options of the experts, `key=value`.
        device: Where the experts run.
        deadline: Seconds that each stage of a look may take.
        max_pixels: A larger picture is refused.
        max_bytes: A picture of a larger file, and a larger request, is refused.
    """

    roots: tuple[str | Path, ...] = ()
    detector: str | None = None
    segmenter: str | None = None
    options: tuple[str, ...] = ()
    device: str = "auto"
    deadline: float = 60.0
    max_pixels: int = 40_000_000
    max_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsJob:
    """What the command line asks for.

    Attributes:
        address: `HOST:PORT` to listen on.
        token_env: Name of the environment variable that holds the token; None makes one.
        allowed: Further `HOST` or `HOST:PORT` that Label Studio may call this server by.
    """

    terms: LabelsTerms
    address: str = "127.0.0.1:9090"
    token_env: str | None = None
    allowed: tuple[str, ...] = ()


def run(job: LabelsJob) -> int:
    """Serve until Ctrl-C.

    Raises:
        InputError: If an address, folder, token or option is none.
        PluginBrokenError: If a library is not installed.
    """
    for library in ("starlette", "uvicorn"):
        need_library(library, who=_WHO, extra="label-studio")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="groundplane: %(message)s")
    predictor = Predictor(job.terms)
    try:
        asyncio.run(_serve(job, predictor))
    except KeyboardInterrupt:
        return 130
    finally:
        predictor.close()
    return 0


async def _serve(job: LabelsJob, predictor: Predictor) -> None:
    host, port = check_address(job.address)
    token = make_token(job.token_env)
    listener = listen(host, port)
    names = server_names(host, listener.getsockname()[1], job.allowed)
    tell(f"listening on http://{shown_address(listener)}")
    if job.token_env is None:
        tell(f"token, which is the password of any user in Label Studio: {token}")
    most = job.terms.max_bytes
    guard = Guard(make_app(predictor), names=names, token=token, basic=True, most=most)
    await serve_guarded(guard, listener, most_headers=MOST_HEADERS)


# Routes ----------------------------------------------------------------------------------------


def make_app(predictor: Predictor) -> Starlette:
    """The server, without the guard that stands before it."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    desk = _Desk(predictor)

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "UP", "model_class": "groundplane"})

    async def webhook(request: Request) -> JSONResponse:
        return JSONResponse({})  # nothing is learnt from what annotators change

    async def setup(request: Request) -> JSONResponse:
        document = await _document(request)
        config = _config(document.get("schema") or document.get("label_config"))
        desk.warm(config)
        return JSONResponse({"model_version": predictor.version})

    async def predict(request: Request) -> JSONResponse:
        document = await _document(request)
        config = _config(document.get("label_config"))
        results = await desk.ask(config, _tasks(document.get("tasks")))
        return JSONResponse({"results": results, "model_version": predictor.version})

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, GroundplaneError):
            _log.warning("a request failed", exc_info=error)
        fault = told(error)
        body = {"error": {"code": fault.code, "message": fault.line}}
        return JSONResponse(body, status_code=_STATUS.get(fault.code, 500))

    routes = [
        Route("/", health), Route("/health", health),
        Route("/setup", setup, methods=["POST"]), Route("/predict", predict, methods=["POST"]),
        Route("/webhook", webhook, methods=["POST"]),
    ]  # fmt: skip
    return Starlette(routes=routes, exception_handlers={GroundplaneError: refuse, 500: refuse})


class _Desk:
    """Hands work to the one thread that looks; only so much may wait."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="labels")
        self._room = threading.BoundedSemaphore(_MOST_WAITING)

    def warm(self, config: LabelConfig) -> None:
        """Have the experts made, without waiting: Label Studio gives a setup three seconds."""
        self._submit(self._predictor.prepare, config)

    async def ask(
        self, config: LabelConfig, tasks: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """One prediction a task.

        Raises:
            ToolError: If too much waits already.
            GroundplaneError: As `Predictor.predict`.
        """
        return await asyncio.wrap_future(self._submit(self._predictor.predict, config, tasks))

    def _submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        if not self._room.acquire(blocking=False):
            raise ToolError("busy")
        job = self._pool.submit(work, *given)
        job.add_done_callback(lambda _: self._room.release())
        return job


async def _document(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ToolError("bad_request", "the body is no JSON") from error
    if not isinstance(document, dict):
        raise ToolError("bad_request", "the body is no object")
    return document


def _config(text: object) -> LabelConfig:
    if not isinstance(text, str):
        raise ToolError("bad_request", "label_config is not there")
    return read_label_config(text)


def _tasks(given: object) -> list[Mapping[str, Any]]:
    tasks = given if isinstance(given, list) else []
    if not tasks or len(tasks) > _MOST_TASKS or not all(isinstance(t, dict) for t in tasks):
        raise ToolError("bad_request", f"expected tasks: a list of 1 to {_MOST_TASKS} objects")
    return tasks


# Predicting ------------------------------------------------------------------------------------


class Predictor:
    """Predictions for tasks; used by one thread at a time.

    Args:
        terms: Who looks, and where pictures may lie.
        make_looker: Makes who looks for a job; None makes experts in a process of their own.

    Raises:
        InputError: If a folder or an option is none.
    """

    def __init__(
        self, terms: LabelsTerms, *, make_looker: Callable[[JobSpec], Looker] | None = None
    ) -> None:
        self._terms = terms
        self._roots = Roots(terms.roots)
        self._options = tuple(expert_options(terms.options).items())
        self._limits = MediaLimits(max_pixels=terms.max_pixels, max_bytes=terms.max_bytes)
        self._look = LookTerms(device=terms.device, deadline=terms.deadline)
        self._make = make_looker or self._apart
        self._lookers: OrderedDict[JobSpec, Looker] = OrderedDict()

    @property
    def version(self) -> str:
        """What Label Studio files the predictions under."""
        return f"groundplane {self._terms.detector or 'all experts'}"

    def prepare(self, config: LabelConfig) -> None:
        """Make the experts for a configuration; a fault is logged, and told when they are asked."""
        try:
            self._looker(_spec(config, self._terms, self._options))
        except GroundplaneError as error:
            _log.warning("%s", error)

    def predict(
        self, config: LabelConfig, tasks: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """One prediction a task; of one that fails, an empty one with an `error`.

        Raises:
            GroundplaneError: If the experts cannot be had, or all tasks fail.
        """
        spec = _spec(config, self._terms, self._options)
        looker = self._looker(spec)
        results: list[dict[str, Any] | ToolError] = []
        for start in range(0, len(tasks), _BATCH):
            results += self._batch(config, spec, looker, tasks[start : start + _BATCH])
        faults = [result for result in results if isinstance(result, ToolError)]
        if len(faults) == len(results):
            raise faults[0]
        return [self._told(one) if isinstance(one, ToolError) else one for one in results]

    def close(self) -> None:
        """Let go of all experts."""
        while self._lookers:
            self._lookers.popitem()[1].close()

    def _batch(
        self,
        config: LabelConfig,
        spec: JobSpec,
        looker: Looker,
        tasks: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any] | ToolError]:
        read: list[Picture | ToolError] = []
        for task in tasks:
            try:
                read.append(self._picture(config, task))
            except GroundplaneError as error:
                _log.warning("a task's picture cannot be had: %s", error)
                read.append(told(error))
        records = iter(looker.look([one for one in read if isinstance(one, Picture)]))
        return [
            one if isinstance(one, ToolError) else self._prediction(config, spec, next(records))
            for one in read
        ]

    def _prediction(
        self, config: LabelConfig, spec: JobSpec, record: AnnotationRecord
    ) -> dict[str, Any] | ToolError:
        if record.failure is not None or record.size is None:
            message = "" if record.failure is None else record.failure.message
            _log.warning("%s", message)
            return ToolError("expert_failed", harmless(message))
        regions = record.regions.select(record.regions.kept)
        names = spec.classes.names
        labels = [names[class_id] for class_id in regions.class_ids.tolist()]
        result = list(region_results(regions, config=config, labels=labels, size=record.size))
        mean = round(float(regions.scores.mean()), 4) if len(regions) else 0.0
        return {"model_version": self.version, "score": mean, "result": result}

    def _told(self, fault: ToolError) -> dict[str, Any]:
        error = {"code": fault.code, "message": fault.line}
        return {"model_version": self.version, "score": 0.0, "result": [], "error": error}

    def _picture(self, config: LabelConfig, task: Mapping[str, Any]) -> Picture:
        data = task.get("data")
        address = data.get(config.value) if isinstance(data, dict) else None
        if not isinstance(address, str):
            raise ToolError("bad_request", "a task has no address of its picture")
        name, encoded = self._encoded(address)
        image = read_image(encoded, name=name, limits=self._limits)
        return Picture(
            path=name,
            content_hash=image.source.content_hash,
            pixels=image.pixels,
            to_stored=tuple(image.frame_map.matrix.ravel().tolist()),
        )

    def _encoded(self, address: str) -> tuple[str, bytes]:
        """A picture's name and bytes."""
        if address.startswith("data:"):
            head, _, rest = address.partition(",")
            try:
                if not head.endswith(";base64"):
                    raise ValueError("not in base64")
                return "picture", base64.b64decode(rest, validate=True)
            except ValueError as error:
                raise ToolError("bad_request", "expected a data address in base64") from error
        found = self._roots.read(_local(address), most=self._terms.max_bytes)
        return found.name, found.data

    def _looker(self, spec: JobSpec) -> Looker:
        """Who looks for a job; the one that was longest unused is let go."""
        if spec not in self._lookers:
            while len(self._lookers) >= _MOST_LOOKERS:
                self._lookers.popitem(last=False)[1].close()
            self._lookers[spec] = self._make(spec)
            for prompt, why in self._lookers[spec].lacking.items():
                _log.warning("nobody can look for %r: %s", prompt, why)
        self._lookers.move_to_end(spec)
        return self._lookers[spec]

    def _apart(self, spec: JobSpec) -> Looker:
        from groundplane.annotation.expert_process import ProcessLooker

        return ProcessLooker(spec, terms=self._look)


def _local(address: str) -> str:
    """Where below the folders a picture lies.

    Raises:
        ToolError: If it would have to be fetched.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        query = urllib.parse.parse_qs(parts.query, errors="surrogateescape")
    except ValueError as error:
        raise ToolError("refused") from error
    if parts.path.rstrip("/") == "/data/local-files" and "d" in query:
        return query["d"][0]
    if parts.path.startswith("/data/upload/"):
        return urllib.parse.unquote(parts.path.removeprefix("/data/"), errors="surrogateescape")
    if parts.scheme or parts.netloc:
        raise ToolError("refused", "pictures are not fetched from addresses; serve local files")
    return address


def _spec(config: LabelConfig, terms: LabelsTerms, options: tuple[tuple[str, str], ...]) -> JobSpec:
    """What a labelling configuration asks for: its labels are the classes, their words prompts."""
    words: dict[str, tuple[str, ...]] = {}
    for control in config.controls:
        words |= {label: control.labels[label] for label in control.labels if label not in words}
    names = tuple(words)
    prompts = tuple(
        AnnotationPrompt(text=word, class_id=class_id)
        for class_id, label in enumerate(names)
        for word in _asked(label, words[label])
    )
    brushes = config.control("brushlabels") is not None
    return JobSpec(
        source="label-studio",
        classes=ClassTable(names=names, prompts=prompts),
        detector=terms.detector,
        segmenter=terms.segmenter if brushes else None,
        options=options,
    )


def _asked(label: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """What is looked for: the words that were written for it, else the label itself."""
    return tuple(word for word in words if word != label) or words
