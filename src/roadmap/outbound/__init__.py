"""Asking for what lies at addresses of strangers, under a guard: nothing of ours can be reached through it."""
