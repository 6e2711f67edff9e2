"""The built-in provider: a deterministic stand-in for an LLM, with a hand-written knowledge pack."""
