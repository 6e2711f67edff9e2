"""A script for the tests: one supervised child, which behaves as its arguments say.

children.py BEHAVIOUR [FILE]
"""

import os
import signal
import sys
import time
from pathlib import Path


def main(behaviour: str, file: Path) -> int:
    print(f"{behaviour} begins in {os.getpid()}")
    if behaviour == "misconfigured":
        return 2
    if behaviour == "dies_once" and not file.exists():
        file.touch()
        return 7
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if behaviour == "long":
        print("x" * 200_000)
    print('{"message": "worker_ready"}')
    while True:
        time.sleep(60)


sys.exit(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "unused")))
