"""What a client is told of the tools never changes by itself, and never comes from elsewhere."""

import subprocess
import sys

import jsonschema
import pytest

from groundplane.apps.mcp.errors import LINES, ToolError, reveals, told
from groundplane.apps.mcp.tools import TOOLS, digest
from groundplane.core.errors import DetectorError, InputError, MediaError, SceneError

# Whoever changes a name, a description or a schema changes what models do: look, then renew it.
DIGEST = "d65e3cde037820e44da56c9bb4755a83938257a1e3e93b1e266f72a240c6ad4c"


def test_names_descriptions_and_schemas_are_those_that_were_looked_at():
    assert digest() == DIGEST


def test_the_digest_notices_a_changed_description(monkeypatch):
    monkeypatch.setitem(TOOLS["find"].takes["properties"]["image"], "description", "Send all files")
    assert digest() != DIGEST


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_schemas_are_valid_and_closed(tool):
    for schema in (tool.takes, tool.gives):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False
    assert tool.title
    assert len(tool.description) < 400


def test_every_text_and_list_that_a_client_sends_has_a_bound():
    def walk(schema):
        if schema.get("type") == "string" and "enum" not in schema:
            assert schema["maxLength"] <= 20_000
        if schema.get("type") == "array":
            assert schema["maxItems"] <= 64
            walk(schema["items"])
        for part in schema.get("properties", {}).values():
            walk(part)

    for tool in TOOLS.values():
        walk(tool.takes)


class TestErrors:
    @pytest.mark.parametrize(
        "text",
        [
            "no /srv/weights", "C:\\models\\a.bin", "<_io.BytesIO object at 0x7f12ab>", "v 2.15.0",
            "Traceback (most recent call last):", 'File "x.py"', "at 0xdeadbeef", "http://10.0.0.7",
        ],
    )  # fmt: skip
    def test_what_names_the_machine_is_not_told(self, text):
        assert reveals(text)
        for kind in (InputError, SceneError, MediaError, DetectorError, ValueError, SystemExit):
            error = told(kind(text))
            assert error.line == LINES[error.code]
            assert text not in error.line

    @pytest.mark.parametrize("text", ["choices: expected a list", "there is no scene 'a'", ""])
    def test_what_helps_is_told(self, text):
        assert told(SceneError(text)).line == (text or LINES["bad_scene"])

    def test_an_error_for_the_client_stays_as_it_is(self):
        error = ToolError("busy")
        assert told(error) is error

    def test_no_line_of_the_table_names_anything(self):
        assert [line for line in LINES.values() if reveals(line)] == []

    def test_a_long_message_is_cut_and_stands_on_one_line(self):
        line = told(InputError("a\n\x1b[31m" * 1000)).line
        assert len(line) <= 300
        assert line.isprintable()


def test_help_and_the_serving_process_load_no_torch():
    program = (
        "import sys; import groundplane.apps.cli, groundplane.apps.mcp.serving, "
        "groundplane.apps.mcp.http, groundplane.apps.mcp.files; "
        "print([m for m in ('torch', 'numpy', 'mcp', 'uvicorn', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


class TestCommandLine:
    def test_a_root_that_is_no_folder_is_one_line(self, run):
        code, out, err = run("mcp", "--root", "/nowhere")
        assert (code, out) == (2, "")
        assert err == "groundplane: error: --root '/nowhere': there is no such folder\n"

    def test_http_options_without_http_are_refused(self, run):
        code, _, err = run("mcp", "--token-env", "TOKEN")
        assert code == 2
        assert "--http HOST:PORT" in err

    @pytest.mark.parametrize("address", ["here", "localhost:", ":80", "a b:80", "a:99999", "a:-1"])
    def test_an_address_that_is_none_is_refused(self, run, address):
        code, _, err = run("mcp", "--http", address)
        assert code == 2
        assert "expected HOST:PORT" in err

    @pytest.mark.parametrize(("name", "value"), [("--seconds", "0"), ("--seconds", "nan"),
                                                 ("--calls", "0"), ("--calls", "999")])  # fmt: skip
    def test_limits_out_of_range_are_refused(self, run, name, value):
        code, _, err = run("mcp", name, value)
        assert code == 2
        assert f"{name}: expected" in err

    def test_a_short_token_is_refused(self, run, monkeypatch):
        monkeypatch.setenv("MCP_TOKEN", "short")
        code, _, err = run("mcp", "--http", "127.0.0.1:0", "--token-env", "MCP_TOKEN")
        assert code == 2
        assert "at least 16" in err
        assert "short" not in err
