"""Real MCP clients in a thread of their own, and an installed expert that misbehaves on demand."""

import os
import sys
from contextlib import contextmanager
from functools import partial

from anyio.from_thread import start_blocking_portal
from mcp import Client
from mcp.client.stdio import StdioServerParameters

PICTURE = "coco/images/000000229358.jpg"
SCENES, SCENE = "vsi/scenes.json", "scene0307_02"

# An expert of a few words, each of which is a way to misbehave.
_WILD = """
import ctypes, os, re, subprocess, sys, time
from groundplane.core.errors import InputError
from groundplane.testing.misbehaving import well_behaved

WORDS = ("printing", "dying", "hanging", "blocking", "raising", "accusing", "crashing", "exiting")

def misbehave(word):
    if word == "printing":
        print("{not json"); sys.stdout.flush(); os.write(1, b"raw bytes\\n")
        subprocess.run(["echo", "from a child"])
    if word == "dying": os._exit(3)
    if word == "crashing": ctypes.string_at(0)
    if word == "hanging": time.sleep(600)
    if word == "blocking": re.match(r"(a+)+$", "a" * 60 + "b")
    if word == "raising": raise RuntimeError("no /srv/secret/weights.bin at 0x7f00dead, v1.2.3")
    if word == "accusing": raise InputError("the token is in /home/user/.ssh")
    if word == "exiting": raise SystemExit(7)

class Wild:
    vocabulary = WORDS
    class Options: pass
    def __init__(self, options=None, *, device="cpu", dtype=None): pass
    def detect(self, requests):
        for request in requests:
            for phrase in request.phrases: misbehave(phrase)
        return [well_behaved(request) for request in requests]
"""


def install(folder, name, entry, module, text, metadata=""):
    """Put a distribution with one entry point into a folder."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(text)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n{metadata}", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[groundplane.detectors]\n{name} = {module}:{entry}\n", encoding="utf-8"
    )


def install_wild(folder):
    """Install the expert `wild`."""
    text = _WILD.replace(
        "class Options: pass",
        "from dataclasses import dataclass\n    @dataclass(frozen=True)\n    class Options: pass",
    )
    install(folder, "wild", "Wild", "gp_wild", text)


def environment(site):
    """What a server is started with so that it finds what is installed there."""
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def arguments(data, *more, detector="coco-file"):
    """The command line of a server that reads the data with outside truth."""
    annotations = f"coco-file.annotations={data}/coco/instances.json"
    return ["--root", str(data), "--detector", detector, "--option", annotations, *map(str, more)]


@contextmanager
def connected(server):
    """Tools of a server as a plain function; `server` is what the SDK's `Client` takes."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server)) as c:
        yield Tools(portal, c)


class Tools:
    """A client's calls, for tests that are not asynchronous."""

    def __init__(self, portal, client):
        self.portal, self.client = portal, client

    def call(self, tool, /, **arguments):
        """Call a tool; gives the SDK's result."""
        return self.portal.call(self.client.call_tool, tool, arguments)

    def get(self, tool, /, **arguments):
        """Call a tool that answers; gives its structured content."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.content
        return result.structured_content

    def fault(self, tool, /, **arguments):
        """Call a tool that fails; gives the error's line."""
        result = self.call(tool, **arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        (content,) = result.content
        return content.text

    def start(self, tool, /, **arguments):
        """Call a tool without waiting; gives a future."""
        return self.portal.start_task_soon(partial(self.client.call_tool, tool, arguments))

    def listed(self):
        """The tools as the server declares them."""
        return self.portal.call(self.client.list_tools).tools


# Its stderr goes to a file, as a client's would.
_START = """
import os, sys
os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
from groundplane.apps.entry import main
main()
"""


def command(log, options):
    """The command that starts a server, whose stderr goes to a file."""
    return [sys.executable, "-c", _START, str(log), "mcp", *map(str, options)]


def over_stdio(site, log, options):
    """A server that a client starts itself."""
    first, *rest = command(log, options)
    return StdioServerParameters(command=first, args=rest, env=environment(site))
