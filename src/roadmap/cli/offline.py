"""`roadmap offline-model`: the built-in model as a server of its own."""

import asyncio
from argparse import Namespace

from roadmap.llm.offline.faults import Faults
from roadmap.llm.offline.serve import serve as serve_model

__all__ = ["serve"]


def serve(arguments: Namespace) -> int:
    faults = Faults.parse(arguments.faults) if arguments.faults else None
    asyncio.run(
        serve_model(arguments.port, latency_ms=arguments.latency_ms, faults=faults, seed=arguments.seed),
    )
    return 0
