"""The process that experts run in, apart from the one that keeps the records.

It is told over a socket whose number is its argument, in parcels. In: `{"spec", "terms", "fds"}`,
then `{"look": pictures, "captions"}`, where pixels are in files that both processes hold, or
`{"print_to": path}`, to which there is no answer. Out: `{"ready", "lacking"}` or
`{"fault": [class, message]}`; of a look, `{"stage": name}` as each begins, then
`{"seconds", "stuck", "largest"}` with the records. What an expert prints goes to stderr, or where
it was told.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from groundplane.annotation.codec import encode_record
from groundplane.annotation.experts_log import open_output
from groundplane.annotation.in_thread import ThreadLooker
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import LookTerms
from groundplane.annotation.parcels import receive, send
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationPrompt, ClassTable, VideoFrame
from groundplane.core.errors import GroundplaneError, PluginBrokenError

__all__ = ["main", "picture_of", "spec_of"]

# Seconds beyond the deadline after which a look ends the process by itself. Whoever started it
# would have done so long ago, unless it is gone; no lock of an expert's can hold this up.
_ALONE = 30.0


def main() -> None:
    """Look at pictures until nobody sends any more."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what is printed last is of interest
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="groundplane: %(message)s")
    try:
        _serve(connection)
    except (EOFError, OSError):
        pass  # whoever started it is gone
    finally:
        # Threads that hang in an expert, and processes that it forked, would stay for ever.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


def _serve(connection: socket.socket) -> None:
    told, _ = receive(connection)
    for fd in (connection.fileno(), *told["fds"]):
        os.set_inheritable(fd, False)  # no business of processes that an expert starts
    terms = LookTerms(**told["terms"])
    alone = 0.0 if terms.deadline is None else min(terms.deadline + _ALONE, 1e8)

    def begin(stage: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, alone)
        send(connection, {"stage": stage})

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    looker = _made(connection, spec_of(told["spec"]), terms, begin)
    send(connection, {"ready": looker.who, "lacking": dict(looker.lacking)})
    while True:
        asked, _ = receive(connection)
        if "print_to" in asked:
            _print_to(asked["print_to"])
            continue
        pictures = [picture_of(one) for one in asked["look"]]
        try:
            records = looker.look(pictures, captions=asked["captions"])
        except GroundplaneError as error:
            _give_up(connection, error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        head = {
            "seconds": dict(looker.seconds), "stuck": looker.stuck, "largest": looker.largest,
        }  # fmt: skip
        send(connection, head, [encode_record(record) for record in records])
        del pictures, records


def _print_to(path: str) -> None:
    """Print to a file; where that cannot be opened any more, as before."""
    try:
        fd = open_output(path)
    except OSError as error:
        logging.getLogger(__name__).warning("%s: cannot be printed to: %s", path, error)
        return
    for stream, own in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(fd, own)
    os.close(fd)


def _made(connection: socket.socket, spec: JobSpec, terms: LookTerms, begin: Any) -> ThreadLooker:
    try:
        return ThreadLooker(spec, terms=terms, on_stage=begin)
    except GroundplaneError as error:
        _give_up(connection, error)
    except (Exception, SystemExit) as error:
        logging.getLogger(__name__).error("an expert cannot be made", exc_info=error)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _give_up(connection, PluginBrokenError(f"experts: they cannot be made: {text}"))


def _give_up(connection: socket.socket, error: GroundplaneError) -> NoReturn:
    send(connection, {"fault": [type(error).__name__, str(error)]})
    os._exit(2)


def spec_of(record: Mapping[str, Any]) -> JobSpec:
    """A job from its fields as JSON values, as `dataclasses.asdict` gives them.

    Examples:
        >>> from dataclasses import asdict
        >>> cup = AnnotationPrompt(text="cup", class_id=0)
        >>> spec = JobSpec(source="x", classes=ClassTable(names=("cup",), prompts=(cup,)))
        >>> spec_of(asdict(spec)) == spec
        True
    """
    classes = record["classes"]
    pairs = {
        name: tuple((key, value) for key, value in record[name])
        for name in ("options", "caption_options", "versions")
    }
    return JobSpec(
        **{
            **record,
            **pairs,
            "classes": ClassTable(
                names=tuple(classes["names"]),
                prompts=tuple(AnnotationPrompt(**prompt) for prompt in classes["prompts"]),
            ),
            "exemplars": tuple((path, word, tuple(box)) for path, word, box in record["exemplars"]),
        }
    )


def picture_of(record: Mapping[str, Any]) -> Picture:
    """A picture whose pixels are read from a file that another process wrote them to."""
    width, height = record["size"]
    memory = mmap.mmap(
        record["fd"], height * width * 3, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ,
        offset=record["offset"],
    )  # fmt: skip
    frame = record["frame"]
    return Picture(
        path=record["path"],
        content_hash=record["hash"],
        pixels=np.frombuffer(memory, dtype=np.uint8).reshape(height, width, 3),
        to_stored=tuple(record["to_stored"]),
        frame=None if frame is None else VideoFrame(video=frame[0], index=frame[1], time=frame[2]),
    )


if __name__ == "__main__":
    main()
