"""What turns regions into answers: boxes, the cognitive map, relations, the solver. Imports core."""
