"""Make a furnished room, walk through it, map what is seen, ask three questions, draw the plan.

Nothing is downloaded: the room is made from meshes, and the expert that looks knows what each
pixel shows. With a video and a real expert `build_map` is called the same way.

    uv run --all-extras python examples/map_a_room.py plan.svg
"""

from __future__ import annotations

import sys

import groundplane
from groundplane.mapping import build_map
from groundplane.spatial.rendering import draw_map
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.oracle import OracleDetector
from groundplane.testing.rooms.replay import Replay

SEED = 3


def main(plan: str) -> None:
    """Map the room, print answers beside the truth, and save the plan."""
    room = make_room(SEED)
    replay = Replay.of(room)
    # Pictures with depth and poses, and who knows what is on them.
    frames = list(replay.watch(room.shots(step=40, size=(160, 120))))
    labels = sorted({thing.label for thing in room.objects})
    scene = build_map(frames, labels, detector=OracleDetector(replay))
    print(f"{len(frames)} frames became {len(scene)} of the {len(room.objects)} things there are")

    true = {thing.label: thing for thing in room.objects}
    towels = sum(thing.label == "towel" for thing in room.objects)
    height = true["toilet"].box[1][2]
    for question, truth in (
        ("How many towels are there?", f"{towels}"),
        ("How tall is the toilet?", f"{height:.2f} m"),
        ("What is the size of this room?", f"{room.area:.1f} square metres"),
    ):
        reply = groundplane.ask(scene, question)
        print(f"{question}\n  {reply.text} In truth: {truth}.")
    draw_map(scene, plan, title=f"{room.kind} {SEED}")
    print(f"the plan is in {plan}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "plan.svg")
