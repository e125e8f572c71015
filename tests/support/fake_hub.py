"""A hub of models on the loopback, which speaks what huggingface_hub asks for a snapshot."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(repositories):
    """Give its address and the list of what is asked of it.

    Args:
        repositories: For each hub id its files, name to content, all at `COMMIT`.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Nothing is printed."""

        def do_HEAD(self):
            self._answer(with_body=False)

        def do_GET(self):
            self._answer(with_body=True)

        def _answer(self, *, with_body):
            path = self.path.partition("?")[0]
            asked.append(f"{self.command} {path}")
            status, headers, body = _reply(path, repositories)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def _reply(path, repositories):
    for name, files in repositories.items():
        if path == f"/api/models/{name}/tree/{COMMIT}":
            listed = [
                {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
                for file, content in files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        if path.startswith(f"/api/models/{name}/revision/{COMMIT}"):
            info = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
        file = path.removeprefix(f"/{name}/resolve/{COMMIT}/")
        if file in files:
            tag = hashlib.sha256(files[file]).hexdigest()
            return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, files[file]
    return 404, {"X-Error-Code": "RepoNotFound"}, b""
