"""Okkhor: a competition pipeline for reading handwritten Bengali graphemes."""

__version__ = "0.1.0"
