"""A real MCP client over HTTP on this machine, and what else may come along there."""

import re
import socket
import subprocess
import time

import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client
from mcp_clients import PICTURE, arguments, command, connected, environment

TOKEN = "a-token-of-the-tests-only"


@pytest.fixture(scope="module")
def server(tmp_path_factory, data_dir):
    """A server on a free port of this machine; gives the port."""
    folder = tmp_path_factory.mktemp("http")
    options = [*arguments(data_dir), "--http", "127.0.0.1:0", "--token-env", "MCP_TEST_TOKEN"]
    env = environment(folder) | {"MCP_TEST_TOKEN": TOKEN}
    log = folder / "log.txt"
    process = subprocess.Popen(command(log, options), env=env)
    try:
        end = time.monotonic() + 60
        while not (told := re.search(r"http://127\.0\.0\.1:(\d+)/mcp\n", _text(log))):
            assert process.poll() is None, _text(log)
            assert time.monotonic() < end
            time.sleep(0.05)
        yield int(told[1])
        assert TOKEN not in _text(log)
    finally:
        process.terminate()
        process.wait(20)


def _text(path):
    return path.read_text() if path.exists() else ""


def raw(port, data, *, wait=5.0):
    """Send bytes; gives all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return b""  # refused before all was sent
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def test_a_client_with_the_token_finds_things(server):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = httpx2.AsyncClient(headers=headers)
    url = f"http://127.0.0.1:{server}/mcp"
    with connected(streamable_http_client(url, http_client=client)) as tools:
        told = tools.get("find", image=PICTURE, phrases=["ties"])
        assert len(told["phrases"][0]["regions"]) == 2
        assert tools.fault("find", image="/etc/passwd", phrases=["x"]).startswith("refused: ")
        started = [tools.start("find", image=PICTURE, phrases=[w]) for w in ("cup", "sink")]
        names = [f.result(60).structured_content["phrases"][0]["phrase"] for f in started]
        assert names == ["cup", "sink"]
        tools.portal.call(client.aclose)


@pytest.mark.parametrize("path", ["/mcp", "/", "/other"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PUT"])
def test_hosts_pages_and_strangers_are_refused_on_the_wire(server, method, path):
    url = f"http://127.0.0.1:{server}{path}"
    good = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client() as client:
        assert (
            client.request(method, url, headers=good | {"Host": "evil.example"}).status_code == 403
        )
        evil = good | {"Origin": "https://evil.example"}
        assert client.request(method, url, headers=evil).status_code == 403
        answer = client.request(method, url)
        assert answer.status_code == 401
        assert "server" not in answer.headers


def test_malformed_calls_name_no_software(server):
    url = f"http://127.0.0.1:{server}/mcp"
    headers = {
        "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }  # fmt: skip
    bodies = [
        "",
        "{",
        "[]",
        "null",
        '{"jsonrpc": "2.0"}',
        '{"jsonrpc": 2, "id": {}}',
        "\0",
        "1" * 9000,
    ]
    with httpx2.Client() as client:
        for body in bodies:
            answer = client.post(url, headers=headers, content=body)
            assert 400 <= answer.status_code < 500
            assert not re.search(r"pydantic|Traceback|0x|https?:|\d\.\d+\.\d", answer.text)


ABUSES = {
    "no HTTP": b"\x16\x03\x01\x02\x00" * 50 + b"\r\n\r\n",
    "headers of 64 kB": b"GET /mcp HTTP/1.1\r\nX: " + b"y" * 65536 + b"\r\n\r\n",
    "many headers": b"GET /mcp HTTP/1.1\r\n" + b"X: y\r\n" * 9000 + b"\r\n",
    "many ranges": b"GET /mcp HTTP/1.1\r\nRange: bytes=" + b"0-1," * 3000 + b"\r\n\r\n",
    "two lengths": b"POST /mcp HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nx",
    "length and chunks": (
        b"POST /mcp HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a negative length": b"POST /mcp HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "pipelining": b"GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
    "tiny chunks": (
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nx\r\n" * 9000
    ),
}


@pytest.mark.parametrize("abuse", ABUSES)
def test_after_abuse_the_next_good_request_is_served(server, abuse):
    got = raw(server, ABUSES[abuse], wait=0.5)
    assert not got.startswith(b"HTTP/1.1 2")
    with httpx2.Client() as client:
        start = time.monotonic()
        assert client.get(f"http://127.0.0.1:{server}/mcp").status_code == 401
        assert time.monotonic() - start < 5  # far more than it takes; it does not hang


def test_half_open_connections_keep_nobody_out(server):
    held = [socket.create_connection(("127.0.0.1", server)) for _ in range(40)]
    try:
        for connection in held:
            connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: ")
        with httpx2.Client() as client:
            assert client.get(f"http://127.0.0.1:{server}/mcp").status_code == 401
    finally:
        for connection in held:
            connection.close()
