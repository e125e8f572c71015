"""What the tests of maps share: one small room, drawn once."""

import pytest

from tests.support.mapped_room import write_room


@pytest.fixture(scope="session")
def mapped(tmp_path_factory):
    """A room with known truth, on disk and in memory."""
    return write_room(tmp_path_factory.mktemp("room"))
