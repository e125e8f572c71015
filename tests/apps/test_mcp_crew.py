"""Whatever an expert does to its process, its call alone fails; others are answered."""

import asyncio

import pytest
from mcp_clients import environment, install_wild

from groundplane.apps.mcp.crew import Crew
from groundplane.apps.mcp.errors import ToolError
from groundplane.apps.mcp.plan import Plan
from groundplane.core.errors import InputError


@pytest.fixture
def crew_of(tmp_path, monkeypatch):
    """Makes a crew whose expert `wild` misbehaves at some words, and a grey picture for it."""
    from PIL import Image as PILImage

    site = tmp_path / "site"
    site.mkdir()
    install_wild(site)
    PILImage.new("RGB", (60, 40)).save(tmp_path / "grey.png")
    for name, value in environment(site).items():
        monkeypatch.setenv(name, value)

    def make(**plan):
        return Crew(Plan(roots=(str(tmp_path),), detector="wild", **plan))

    return make


async def outcomes(crew, *words):
    """The code of each call's error, or how its phrase ended."""

    async def one(word):
        try:
            record = await crew.call("find", {"image": "grey.png", "phrases": [word]})
        except ToolError as error:
            return error.code
        return record["phrases"][0]["outcome"]

    return await asyncio.gather(*map(one, words))


def test_an_expert_that_dies_costs_nobody_else_an_answer(crew_of):
    async def run():
        crew = crew_of()
        try:
            await crew.start()
            first = await outcomes(crew, "printing", "dying", "raising")
            return first, await outcomes(crew, "printing")
        finally:
            crew.close()

    assert asyncio.run(run()) == (["found", "expert_died", "expert_failed"], ["found"])


def test_an_expert_that_hangs_or_blocks_its_process_is_given_up_in_time(crew_of):
    async def run():
        crew = crew_of(seconds=2, calls=2)
        try:
            await crew.start()
            start = asyncio.get_running_loop().time()
            hung = await outcomes(crew, "hanging")
            took = asyncio.get_running_loop().time() - start
            # It holds the interpreter's lock: only another process can end it.
            blocked = asyncio.create_task(outcomes(crew, "blocking"))
            await asyncio.sleep(0.5)
            beside = await outcomes(crew, "printing")
            return hung, took < 60, await blocked, beside
        finally:
            crew.close()

    assert asyncio.run(run()) == (["too_slow"], True, ["too_slow"], ["found"])


def test_waiting_calls_have_a_bound_and_cancelled_ones_give_their_place_back(crew_of):
    async def run():
        crew = crew_of(calls=1)
        crew._free = 0  # the one place is taken
        waiting = [asyncio.create_task(outcomes(crew, "printing")) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        too_many = await outcomes(crew, "printing")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        crew._leave()
        return too_many, crew._free, crew._line

    assert asyncio.run(run()) == (["busy"], 1, [])


def test_an_expert_that_is_not_there_is_told_before_anything_is_served(tmp_path):
    async def run():
        crew = Crew(Plan(detector="no-such-expert"))
        try:
            await crew.start()
        finally:
            crew.close()

    with pytest.raises(InputError, match="no-such-expert"):
        asyncio.run(run())
