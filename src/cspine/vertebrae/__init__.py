"""A vertebra as an example: which slices show it, which part of them, and their pixels."""
