"""What the command line's tests share."""

import sys

import pytest

from groundplane.apps.entry import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; gives exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["groundplane", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call
