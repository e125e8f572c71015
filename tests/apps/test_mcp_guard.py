"""Over HTTP nothing but a client that knows the token, names this server and is no page gets in."""

import asyncio
import base64
import json

import pytest

from groundplane.apps.listening import server_names
from groundplane.apps.mcp.guard import MOST_BODY, MOST_HEADERS, Guard

TOKEN = "correct-horse-battery"
HOSTS = [
    "evil.example", "evil.example:8765", "127.0.0.1", "localhost", "127.0.0.1:80", "localhost:1",
    "127.0.0.1.evil.example:8765", "localhost.evil.example:8765", "0.0.0.0:8765", "[::]:8765",
    "user@127.0.0.1:8765", "127.0.0.1:8765@evil.example", "127.1:8765", "2130706433:8765", "",
    "127.0.0.1:8765 ", "127.0.0.1:8765\t", "127.0.0.1:08765",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "LOCK"]
ORIGINS = [
    "null", "http://evil.example", "https://localhost.evil.example:8765", "http://localhost",
    "http://127.0.0.1:1", "file://", "chrome-extension://abc", "http://localhost:8765/", "",
]  # fmt: skip


def exchange(app, *, method="POST", path="/mcp", headers=(), chunks=(b"",)):
    """One request; gives status, headers and body, or None where there is no answer."""
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": i < len(chunks) - 1}
        for i, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(n.encode(), v.encode("latin-1")) for n, v in headers],
        "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


class Echo:
    """An app that answers with what it got, or with a given response."""

    def __init__(self, status=200, body=None):
        self.status, self.body, self.calls = status, body, 0

    async def __call__(self, scope, receive, send):
        self.calls += 1
        got = await receive()
        body = got["body"] if self.body is None else self.body
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def guard(echo):
    return Guard(echo, names=server_names("127.0.0.1", 8765, ()), token=TOKEN)


GOOD = (("host", "127.0.0.1:8765"), ("authorization", f"Bearer {TOKEN}"))


def test_a_client_with_the_token_gets_in(guard, echo):
    assert exchange(guard, headers=GOOD, chunks=(b"a", b"b"))[::2] == (200, b"ab")
    assert echo.calls == 1


@pytest.mark.parametrize("host", ["localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_all_names_of_this_machine_are_good(guard, host):
    assert exchange(guard, headers=(("host", host), GOOD[1]))[0] == 200


@pytest.mark.parametrize("host", HOSTS)
def test_other_hosts_are_refused_whatever_the_method_and_route(guard, echo, host):
    for method in METHODS:
        for path in ("/mcp", "/", "/anything", "/mcp/", "//mcp", "/health"):
            status, headers, _ = exchange(
                guard, method=method, path=path, headers=(("host", host), GOOD[1])
            )
            assert status == 403
            assert not any(name.lower().startswith(b"access-control") for name in headers)
    assert echo.calls == 0


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("method", METHODS)
def test_pages_of_elsewhere_are_refused(guard, echo, origin, method):
    assert exchange(guard, method=method, headers=(*GOOD, ("origin", origin)))[0] == 403
    assert echo.calls == 0


def test_a_page_of_this_server_may_call(guard):
    assert exchange(guard, headers=(*GOOD, ("origin", "http://localhost:8765")))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("host", "127.0.0.1:8765"), GOOD[0], GOOD[1]),
        (*GOOD, ("origin", "http://localhost:8765"), ("origin", "http://evil.example")),
    ],
    ids=["no host", "two hosts", "two origins"],
)
def test_headers_that_can_be_read_in_two_ways_are_refused(guard, headers):
    assert exchange(guard, headers=headers)[0] == 403


@pytest.mark.parametrize(
    "tokens",
    [
        [], ["Bearer "], ["Bearer wrong"], [TOKEN], [f"bearer {TOKEN}"], [f"Bearer {TOKEN} "],
        [f"Bearer {TOKEN[:-1]}"], [f"Basic {TOKEN}"], ["Bearer ü"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"], ["x" * 8000],
    ],
)  # fmt: skip
def test_without_the_token_nobody_gets_in(guard, echo, tokens):
    headers = (GOOD[0], *(("authorization", token) for token in tokens))
    status, told, body = exchange(guard, headers=headers)
    assert (status, told[b"www-authenticate"]) == (401, b"Bearer")
    assert TOKEN.encode() not in body
    assert echo.calls == 0


def basic(text):
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic(f"anybody:{TOKEN}"), 200), (basic(f":{TOKEN}"), 200), (f"Bearer {TOKEN}", 200),
        (basic(f"{TOKEN}:"), 401), (basic(TOKEN), 401), (basic("a:wrong"), 401), ("Basic ?", 401),
        ("Basic", 401), (f"Basic {TOKEN}", 401), (basic(f"a:{TOKEN}:"), 401), ("Basic ü", 401),
    ],
)  # fmt: skip
def test_the_token_is_a_password_only_where_it_is_said_so(echo, header, status):
    names = server_names("127.0.0.1", 8765, ())
    headers = (GOOD[0], ("authorization", header))
    guard = Guard(echo, names=names, token=TOKEN, basic=True)
    assert exchange(guard, headers=headers)[0] == status
    if header.startswith("Basic"):
        assert exchange(Guard(echo, names=names, token=TOKEN), headers=headers)[0] == 401


def test_headers_and_bodies_have_a_bound(guard, echo):
    assert exchange(guard, headers=(*GOOD, ("x", "y" * MOST_HEADERS)))[0] == 431
    assert exchange(guard, headers=GOOD, chunks=(b"x" * (MOST_BODY + 1),))[0] == 413
    assert exchange(guard, headers=GOOD, chunks=(b"x" * (MOST_BODY // 4),) * 5)[0] == 413
    assert echo.calls == 0


def test_a_body_that_does_not_arrive_is_given_up(guard, monkeypatch):
    monkeypatch.setattr("groundplane.apps.mcp.guard.ARRIVAL", 0.05)
    assert exchange(guard, headers=GOOD, chunks=())[0] == 408


class TestErrors:
    @pytest.mark.parametrize(
        "message",
        [
            "1 validation error for X\nsee https://errors.pydantic.dev/2.12/v/missing",
            "no /srv/x", "<object at 0x7f00>", "uvicorn 0.32.1",
        ],
    )  # fmt: skip
    def test_what_names_the_software_is_cut(self, message):
        error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": message}}
        app = Guard(Echo(400, json.dumps(error).encode()), names=frozenset({"h:1"}), token=TOKEN)
        status, _, body = exchange(app, headers=(("host", "h:1"), GOOD[1]))
        told = json.loads(body)
        assert (status, told["error"]["code"]) == (400, -32600)
        assert told["error"]["message"] == "bad_request: the request is malformed"

    @pytest.mark.parametrize("body", [b"<h1>nginx 1.2.3</h1>", b"\xff\xfe/srv", b"[1, 2]", b""])
    def test_other_bodies_are_cut_too(self, body):
        app = Guard(Echo(500, body), names=frozenset({"h:1"}), token=TOKEN)
        _, headers, got = exchange(app, headers=(("host", "h:1"), GOOD[1]))
        assert int(headers[b"content-length"]) == len(got)
        assert b"1.2.3" not in got
        assert b"srv" not in got

    def test_a_plain_message_stays(self):
        error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "not found"}}
        app = Guard(Echo(404, json.dumps(error).encode()), names=frozenset({"h:1"}), token=TOKEN)
        body = exchange(app, headers=(("host", "h:1"), GOOD[1]))[2]
        assert json.loads(body)["error"]["message"] == "not found"


class TestNames:
    def test_an_address_of_all_interfaces_is_no_name(self):
        assert server_names("0.0.0.0", 80, ()) == {"localhost:80", "127.0.0.1:80", "[::1]:80"}

    def test_allowed_hosts_are_added_with_and_without_the_port(self):
        names = server_names("127.0.0.1", 80, ("Tools.Example", "other:99"))
        assert {"tools.example", "tools.example:80", "other:99"} <= names
        assert "other" not in names
