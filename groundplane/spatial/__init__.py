"""What turns regions into answers: boxes, the map, relations, the solver. Imports core."""
