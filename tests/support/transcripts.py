"""A server on loopback that answers each call with the next recorded reply, whatever is asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def sse(*values, names=False, end=""):
    """Server-sent events; with `names` each is called by its own `type`, as Anthropic does."""
    lines = []
    for value in values:
        head = f"event: {value['type']}\n" if names else ""
        lines.append(f"{head}data: {json.dumps(value)}\n\n")
    return ("".join(lines) + end).encode()


def openai(*pieces, finish="stop", done=True, refusal=False):
    """A reply of OpenAI's chat completions (and of those that speak as it does), in pieces."""
    key = "refusal" if refusal else "content"
    rows = [{"role": "assistant", key: ""}, *({key: piece} for piece in pieces)]
    chunks = [_chunk([{"index": 0, "delta": row, "finish_reason": None}]) for row in rows]
    if finish:
        chunks.append(_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
        usage = {"prompt_tokens": 90, "completion_tokens": len(pieces), "total_tokens": 99}
        chunks.append(_chunk([]) | {"usage": usage})
    return sse(*chunks, end="data: [DONE]\n\n" if done else "")


def _chunk(choices):
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return made | {"choices": choices}


def gemini(*pieces, finish="STOP"):
    """A reply of Google's `streamGenerateContent?alt=sse`, in pieces."""
    usage = {"promptTokenCount": 90, "candidatesTokenCount": 9, "totalTokenCount": 99}
    rows = []
    for k, piece in enumerate(pieces):
        one = {"content": {"parts": [{"text": piece}], "role": "model"}, "index": 0}
        if k == len(pieces) - 1:
            one["finishReason"] = finish
        rows.append({"candidates": [one], "usageMetadata": usage, "modelVersion": "gemini"})
    if not pieces:
        rows.append({"candidates": [{"finishReason": finish, "index": 0}], "usageMetadata": usage})
    return sse(*rows)


def anthropic(*pieces, finish="end_turn"):
    """A reply of Anthropic's messages, in pieces."""
    usage = {"input_tokens": 90, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
               "model": "claude", "stop_reason": None, "stop_sequence": None,
               "usage": usage}  # fmt: skip
    texts = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in pieces
    ]
    return sse(
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *texts,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": finish, "stop_sequence": None},
         "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
        names=True,
    )  # fmt: skip


class Provider:
    """What was asked of the server, and what it answers.

    Attributes:
        url: Where it is.
        replies: Bodies of event streams, or (status, body, headers) of errors; the last one stays.
        asked: The path, the headers and the JSON of each call.
    """

    def __init__(self, url, replies):
        self.url, self.replies, self.asked = url, list(replies), []


@contextmanager
def provider(*replies):
    """Run the server for a while."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            size = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(size) or b"{}")
            told.asked.append((self.path, dict(self.headers), body))
            reply = told.replies.pop(0) if len(told.replies) > 1 else told.replies[0]
            status, data, headers = reply if isinstance(reply, tuple) else (200, reply, {})
            kind = "text/event-stream" if status == 200 else "application/json"
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Connection": "close", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = Provider(f"http://127.0.0.1:{server.server_port}", replies)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
