"""Free space and ways on foot."""

from groundplane.spatial.routes.finding import Blocked, Walk, shortest_walk
from groundplane.spatial.routes.free_space import Walker, free_space

__all__ = ["Blocked", "Walk", "Walker", "free_space", "shortest_walk"]
