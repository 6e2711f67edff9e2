"""Roadmaps: what a learner asked for, the plan made for them, and the rules that a plan obeys."""
