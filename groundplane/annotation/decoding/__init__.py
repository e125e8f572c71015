"""Reading and decoding in processes of their own, into memory that is shared with them."""

from groundplane.annotation.decoding.pool import DecodePool
from groundplane.annotation.decoding.slots import map_slot

__all__ = ["DecodePool", "map_slot"]
