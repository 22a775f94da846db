"""Text -> glyph -> handwriting-like image: a data set in the competition's format where Kaggle's files are absent."""

from okkhor.rendering.sample import sample_matches, write_sample

__all__ = ["sample_matches", "write_sample"]
