"""Furnished rooms whose truth is known: meshes, a camera walk, pictures, questions."""
