"""A geometry server that needs no groundplane: for models with an environment of their own.

    python geometry_server.py --port 8000

Put your model into `estimate`; here a stand-in tells a flat wall. The other side is
`groundplane map ... --geometry remote --option remote.url=http://127.0.0.1:8000`.
It needs numpy and Pillow. The protocol is described in docs/geometry.md.
"""

import argparse
import base64
import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

# What the model gives, of `depth`, `intrinsics` and `pose`; what it needs of them; and whether its
# depth and poses are in metres.
INFO = {"gives": ["depth", "intrinsics"], "needs": [], "scale": "relative", "licence": "Apache-2.0"}
MOST_BYTES = 2**30


def estimate(pictures):
    """Depth (z, h w), K (3 3, pixels, origin at the outer corner) and pose (camera to world, 4 4).

    Gets RGB arrays of one capture, in order; gives a tuple for each, None for what is not known.
    """
    told = []
    for picture in pictures:
        height, width = picture.shape[:2]
        K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], dtype=float)
        told.append((np.full((height, width), 2.0), K, None))
    return told


def answer(document):
    """The reply to a request for frames."""
    pictures = []
    for frame in document["frames"]:
        data = base64.b64decode(frame["image"]["data"])
        pictures.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    results = []
    for picture, (depth, K, pose) in zip(pictures, estimate(pictures), strict=True):
        raw = np.ascontiguousarray(depth, dtype="<f4")
        results.append(
            {
                "size": [picture.shape[1], picture.shape[0]],
                "scale": INFO["scale"],
                "depth": {
                    "type": "float32",
                    "shape": list(raw.shape),
                    "data": base64.b64encode(raw.tobytes()).decode("ascii"),
                },
                "K": None if K is None else [float(value) for value in np.ravel(K)],
                "pose": None if pose is None else [float(value) for value in np.ravel(pose)],
                "noise": {"linear": 0.05, "common": 0.1},
                "notes": ["depth is estimated by a stand-in"],
            }
        )
    return {"protocol": 1, "results": results}


class Handler(BaseHTTPRequestHandler):
    """Answers GET /info and POST /estimate."""

    timeout = 30

    def do_GET(self):
        if self.path == "/info":
            self.send(200, {"protocol": 1, "name": "stand-in", "geometry": INFO})
        else:
            self.send(404, {"protocol": 1, "error": "expected GET /info or POST /estimate"})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if self.path != "/estimate" or not 0 < length <= MOST_BYTES:
            self.send(404, {"protocol": 1, "error": "expected POST /estimate with a body"})
            return
        try:
            reply = answer(json.loads(self.rfile.read(length)))
        except (KeyError, OSError, TypeError, ValueError) as error:
            self.send(400, {"protocol": 1, "error": f"{type(error).__name__}: {error}"})
            return
        self.send(200, reply)

    def send(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
