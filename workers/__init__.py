"""The worker pools, wired for arq: workers.content and workers.logs."""
