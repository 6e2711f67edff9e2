"""Roadmap: learning roadmaps, planned and written by an LLM."""

__version__ = "0.1.0"
