"""The remote expert against a good server, and against servers that do everything wrong."""

import json
import socket
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate

import numpy as np
import pytest
import torch

from groundplane.core import hub
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError
from groundplane.core.host import load
from groundplane.core.regions import Regions
from groundplane.grounding import remote_calls
from groundplane.grounding.remote_protocol import Info, write_info, write_results
from groundplane.plugins.remote import RemoteDetector, RemoteOptions
from groundplane.testing.detectors import DetectorContract, make_image
from groundplane.testing.remote_server import RemoteServer

FAST = {"timeout": 2.0, "deadline": 5.0, "retries": 0}


class Halves:
    """Finds `bright` in the left half of a bright image; fails on images named `bad`."""

    vocabulary = ("bright", "dark", "猫")

    def detect(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if request.image.source.name == "bad":
            raise DetectorError("detector 'halves' does not like it")
        width, height = request.image.size
        score = float(request.image.pixels.mean()) / 255
        least = request.thresholds or (0.4,) * len(request.phrases)
        rows = [i for i, p in enumerate(request.phrases) if p == "bright" and score >= least[i]]
        regions = Regions(
            ids=tuple(f"h{i}" for i in rows),
            boxes=torch.tensor([[0.0, 0.0, width / 2, float(height)]] * len(rows)).reshape(-1, 4),
            scores=torch.full((len(rows),), score),
            phrases=request.phrases,
            phrase_ids=torch.tensor(rows, dtype=torch.long),
            image_size=request.image.size,
        )
        outcomes = tuple(
            Outcome.FOUND
            if i in rows
            else Outcome.NONE
            if phrase in self.vocabulary
            else Outcome.CANNOT
            for i, phrase in enumerate(request.phrases)
        )
        return DetectResult(regions=regions, outcomes=outcomes, note="looked")


def image(level=200, name="a.png", size=(12, 8)):
    return make_image(np.full((size[1], size[0], 3), level, dtype=np.uint8), name=name)


def ask(detector, *images, phrases=("bright",)):
    return detector.detect(
        [DetectRequest(image=each, phrases=phrases) for each in images or (image(),)]
    )


@contextmanager
def serving(*replies):
    """A server that writes one of these to each connection, the last one to all that follow.

    A reply is bytes, or a function that gets the connection.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            reply = replies[min(len(seen), len(replies) - 1)]
            seen.append(time.monotonic())
            threading.Thread(target=answer, args=(connection, reply), daemon=True).start()

    def answer(connection, reply):
        with connection:
            try:
                connection.settimeout(5)
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(65536)
                head, _, body = asked.partition(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if b"ontent-length" in line.lower()]
                while length and len(body) < int(length[0].split(b":")[1]):
                    body += connection.recv(65536)
                if callable(reply):
                    reply(connection)
                else:
                    connection.sendall(reply)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def http(body=b"", *, status="200 OK", headers=(), length=None):
    stated = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {stated}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def good():
    return http(write_results(Halves().detect([DetectRequest(image=image(), phrases=("bright",))])))


def detector(url, **options):
    return RemoteDetector(RemoteOptions(url=url, **{**FAST, **options}))


@pytest.fixture
def server():
    with RemoteServer(Halves(), name="halves") as running:
        yield running


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, server):
        return load("detectors", "remote", device="cpu", url=server.url)


class TestGoodServer:
    def test_it_answers_as_its_detector_does(self, server):
        images = [image(), image(20, size=(5, 9)), image(250)]
        far, near = ask(detector(server.url), *images), ask(Halves(), *images)
        for one, other in zip(far, near, strict=True):
            assert one.outcomes == other.outcomes
            assert torch.equal(one.regions.boxes, other.regions.boxes)
            assert torch.equal(one.regions.scores, other.regions.scores)
            assert one.note == "looked"
        assert far[0].regions.sources == ("remote",)

    def test_its_words_are_known(self, server):
        assert detector(server.url).vocabulary == ("bright", "dark", "猫")

    def test_a_path_below_the_host_is_kept(self, server):
        with pytest.raises(DetectorError, match=r"there/detect: HTTP 404"):
            ask(detector(f"{server.url}/there/"))

    def test_a_failure_there_is_named_here(self, server):
        with pytest.raises(DetectorError, match="failed on 'bad': detector 'halves' does not like"):
            ask(detector(server.url), image(name="bad"))

    def test_jpeg_can_be_asked_for(self, server):
        assert ask(detector(server.url, picture="jpeg"))[0].outcomes == (Outcome.FOUND,)

    def test_several_threads_may_ask_at_once(self, server):
        shared, found = detector(server.url, deadline=20.0), []
        threads = [threading.Thread(target=lambda: found.extend(ask(shared))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [result.outcomes for result in found] == [(Outcome.FOUND,)] * 6

    def test_no_requests_ask_nobody(self):
        assert detector("http://127.0.0.1:1").detect([]) == []


class TestTokens:
    def test_a_token_opens_the_door_and_is_never_shown(self, monkeypatch, caplog):
        caplog.set_level("DEBUG")
        with RemoteServer(Halves(), name="halves", token="s3cret-t0ken") as server:
            with pytest.raises(DetectorError, match=r"wants a token .* --option token_env=NAME"):
                ask(detector(server.url))
            monkeypatch.setenv("MY_TOKEN", "s3cret-t0ken")
            there = detector(server.url, token_env="MY_TOKEN")
            assert ask(there)[0].outcomes == (Outcome.FOUND,)
            monkeypatch.setenv("MY_TOKEN", "wr0ng-t0ken")
            with pytest.raises(DetectorError) as refused:
                ask(detector(server.url, token_env="MY_TOKEN"))
        assert "refuses the token of 'MY_TOKEN' (HTTP 401)" in str(refused.value)
        shown = caplog.text + str(refused.value) + repr(there)
        assert "s3cret" not in shown
        assert "wr0ng" not in shown

    @pytest.mark.parametrize(("token", "said"), [("", "not set"), ("a\nb", "something else")])
    def test_a_token_that_cannot_be_sent_is_refused(self, monkeypatch, token, said):
        monkeypatch.setenv("MY_TOKEN", token)
        with pytest.raises(InputError, match=said) as error:
            detector("http://127.0.0.1:1", token_env="MY_TOKEN")
        assert not token or token not in str(error.value)

    def test_a_token_is_not_sent_unencrypted_to_another_machine(self, monkeypatch):
        monkeypatch.setenv("MY_TOKEN", "abc")
        with pytest.raises(InputError, match=r"unencrypted to 'example\.org'"):
            detector("http://example.org", token_env="MY_TOKEN")
        detector("https://example.org", token_env="MY_TOKEN")


class TestBadServers:
    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (http(b"oh no", status="500 Oops"), "HTTP 500: oh no"),
            (http(b"\x1b[2J", status="400 Bad"), r"HTTP 400:  \[2J"),
            (http(b"<html>"), "expected JSON"),
            (http(b""), "expected JSON"),
            (http(b'{"protocol": 1, "results": []}'), "expected 1 results, got 0"),
            (http(good().partition(b"\r\n\r\n")[2].replace(b"[0.0,", b"[NaN,")), "got NaN"),
            (http(b"{}", length=10 * 2**30), "longer than 67108864 bytes"),
            (http(b"x" * 5000, length=5000), "expected JSON"),
            (
                http(status="302 Found", headers=["Location: http://evil.example/"]),
                "redirects to 'http://evil.example/",
            ),
            (http(status="307 There", headers=["Location: /other"]), "redirects to '/other'"),
            (http(b"\x1f\x8b", headers=["Content-Encoding: gzip"]), "is compressed"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "RemoteProtocolError"),
            (http(b"{}", length=100), "RemoteProtocolError"),
            (b"", "RemoteProtocolError"),
        ],
    )
    def test_what_they_send_is_refused_with_the_reason(self, reply, said):
        with serving(reply) as (url, _), pytest.raises(DetectorError, match=said) as error:
            ask(detector(url))
        assert str(error.value).startswith("detector 'remote' at http://127.0.0.1")
        assert str(error.value).isprintable()

    def test_a_stream_without_end_is_cut_off(self):
        def pour(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(10_000):
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")

        with serving(pour) as (url, _), pytest.raises(DetectorError, match="longer than 1000000"):
            ask(detector(url, max_reply=1_000_000))

    def test_one_that_resets_is_named(self):
        def reset(connection):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

        with serving(reset) as (url, _), pytest.raises(DetectorError, match=r"Error"):
            ask(detector(url))

    def test_one_that_is_silent_is_given_up(self):
        with serving(lambda _: time.sleep(4)) as (url, _):
            started = time.monotonic()
            with pytest.raises(DetectorError, match=r"silent for 0\.3 s"):
                ask(detector(url, timeout=0.3))
            assert time.monotonic() - started < 2

    @pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b""])
    def test_one_that_drips_is_given_up_at_the_deadline(self, head):
        def drip(connection):
            connection.sendall(head)
            for _ in range(60):
                connection.sendall(b"H")
                time.sleep(0.05)

        with serving(drip) as (url, _):
            started = time.monotonic()
            with pytest.raises(DetectorError, match=r"no reply within 0\.6 s|not complete in time"):
                ask(detector(url, timeout=0.5, deadline=0.6))
            assert time.monotonic() - started < 2

    def test_nobody_there_is_said(self):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        with pytest.raises(DetectorError, match=r"ConnectError.*tries: 1"):
            ask(detector(f"http://127.0.0.1:{port}"))

    def test_calls_that_were_given_up_leave_no_thread_behind(self):
        with serving(lambda _: time.sleep(3)) as (url, _):
            there = detector(url, deadline=0.1, timeout=3.0)
            for _ in range(20):
                with pytest.raises(DetectorError, match=r"no reply within 0\.1 s|silent"):
                    ask(there)
            end = time.monotonic() + 2
            while there._caller._pool.threads and time.monotonic() < end:
                time.sleep(0.01)
            assert there._caller._pool.threads == 0

    def test_words_that_cannot_be_had_are_an_error(self):
        with serving(http(b"{}")) as (url, _):
            there = detector(url)
            with pytest.raises(DetectorError, match="expected protocol 1"):
                there.vocabulary  # noqa: B018


class TestRetries:
    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            http(status="502 Bad"),
            http(status="503 Busy"),
            http(status="504 Late"),
            http(status="429 Slow", headers=["Retry-After: 0"]),
        ],
    )
    def test_a_passing_failure_is_tried_again(self, bad):
        with serving(bad, bad, good()) as (url, seen):
            [result] = ask(detector(url, retries=2))
            assert result.outcomes == (Outcome.FOUND,)
            assert len(seen) == 3

    def test_they_end(self):
        with serving(http(status="503 Busy")) as (url, seen):
            with pytest.raises(DetectorError, match=r"busy \(HTTP 503\) \(tries: 3\)"):
                ask(detector(url, retries=2))
            assert len(seen) == 3

    def test_what_will_not_pass_is_not_tried_again(self):
        with serving(http(status="500 Oops")) as (url, seen):
            with pytest.raises(DetectorError):
                ask(detector(url, retries=5))
            assert len(seen) == 1

    def test_the_server_says_how_long_to_wait(self):
        busy = http(status="429 Slow", headers=["Retry-After: 1"])
        with serving(busy, good()) as (url, seen):
            ask(detector(url, retries=1))
            assert seen[1] - seen[0] >= 1

    @pytest.mark.parametrize("dated", [False, True])
    def test_a_wait_beyond_the_deadline_is_not_begun(self, dated):
        when = formatdate(time.time() + 3600, usegmt=True) if dated else "3600"
        with serving(http(status="503 Busy", headers=[f"Retry-After: {when}"])) as (url, seen):
            started = time.monotonic()
            with pytest.raises(DetectorError, match="no time for more"):
                ask(detector(url, retries=5))
            assert time.monotonic() - started < 3
            assert len(seen) == 1

    @pytest.mark.parametrize("text", ["", "soon", "-5", "9" * 50, "NaN", "١٢", "Mon, 99 Foo"])
    def test_a_strange_wait_is_a_number(self, text):
        assert 0 <= remote_calls._retry_after(text) <= 1e9

    def test_waits_grow_and_are_bounded(self):
        waits = [remote_calls._backoff(tries) for tries in range(1, 60)]
        assert all(0.1 <= wait <= 8.0 for wait in waits)
        assert min(waits[10:]) >= 4.0


class TestOptions:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("", "expected a URL"),
            ("example.org", "expected a URL"),
            ("ftp://example.org", "expected a URL"),
            ("file:///etc/passwd", "expected a URL"),
            ("http://", "expected a URL"),
            ("http://[::1", "expected a URL"),
            ("http://host:99999", "expected a URL"),
            ("http://a b", "expected a URL"),
            ("http://a\nb", "expected a URL"),
            ("http://user:hunter2@host", "token_env"),
            ("http://host/?token=1", r"no `\?`"),
        ],
    )
    def test_a_url_that_is_none_is_refused(self, url, said):
        with pytest.raises(InputError, match=said) as error:
            RemoteOptions(url=url)
        assert "hunter2" not in str(error.value)

    @pytest.mark.parametrize(
        "bad",
        [
            {"timeout": 0.0},
            {"timeout": float("nan")},
            {"deadline": -1.0},
            {"retries": -1},
            {"max_reply": 0},
        ],
    )
    def test_numbers_out_of_range_are_refused(self, bad):
        with pytest.raises(InputError, match="option"):
            RemoteOptions(url="http://host", **bad)

    @pytest.mark.parametrize("content", [None, b"garbage"])
    def test_certificates_that_cannot_be_read_are_refused(self, tmp_path, content):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=r"ca_file: .*ca\.pem"):
            detector("https://host", ca_file=path)

    def test_a_missing_library_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(hub, "is_installed", lambda name: False)
        with pytest.raises(PluginBrokenError, match=r"groundplane\[remote\]"):
            detector("http://host")

    def test_proxies_of_the_environment_are_not_used_unasked(self, monkeypatch, server):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(detector(server.url))[0].outcomes == (Outcome.FOUND,)
        with pytest.raises(DetectorError, match="ConnectError"):
            ask(detector(server.url, use_proxy=True))


class TestServer:
    def reply(self, data):
        with RemoteServer(Halves(), name="halves", max_body=10_000) as server:
            host, port = server.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(data)
                received = b""
                while part := connection.recv(65536):
                    received += part
        return received

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET /info HTTP/1.1\r\n\r\n", b"200"),
            (b"GET /else HTTP/1.1\r\n\r\n", b"404"),
            (b"POST /detect HTTP/1.1\r\n\r\n", b"411"),
            (b"POST /detect HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
            (b"POST /detect HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
            (b"POST /detect HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"400"),
            (b"DELETE /detect HTTP/1.1\r\n\r\n", b"501"),
        ],
    )
    def test_bad_requests_are_answered_with_their_status(self, data, status):
        assert self.reply(data).split(b" ")[1] == status

    def test_a_detector_that_breaks_does_not_end_it(self):
        class Breaking(Halves):
            def answer(self, request):
                raise RuntimeError("secret detail")

        with RemoteServer(Breaking(), name="breaking") as server:
            for _ in range(2):
                with pytest.raises(DetectorError, match="HTTP 500") as error:
                    ask(detector(server.url))
                assert "secret" not in str(error.value)

    def test_what_it_is_is_said_in_json(self):
        body = self.reply(b"GET /info HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[2]
        assert json.loads(body) == json.loads(
            write_info(Info(name="halves", vocabulary=Halves.vocabulary))
        )
