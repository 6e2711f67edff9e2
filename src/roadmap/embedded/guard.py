"""Run as a script between fork and exec: ties the program that it becomes to the life of the process that started it.

    python -I -S guard.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT…]

A program of its own, because Python code between fork and exec may deadlock once the parent has threads.
Only Linux can tie processes like this; elsewhere the program outlives a parent that was killed.
"""

import ctypes
import os
import sys

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_CANNOT_EXECUTE = 127


def main(arguments: list[str]) -> int:
    parent, death_signal, uid, gid = map(int, arguments[:4])
    # A group of its own: Ctrl-C at the terminal reaches the supervisor only, which ends the others in order.
    os.setpgid(0, 0)
    if uid >= 0:
        _become(uid, gid)
    # After the change of user, which clears it.
    _tie_to_parent(death_signal)
    if os.getppid() != parent:
        return 1
    return _execute(arguments[4:])


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _tie_to_parent(death_signal: int) -> None:
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, death_signal):
        raise OSError(ctypes.get_errno(), "prctl")


def _execute(command: list[str]) -> int:
    try:
        os.execvp(command[0], command)  # noqa: S606 - the whole purpose
    except OSError as exc:
        print(f"cannot start {command[0]}: {exc.strerror}", file=sys.stderr)
    return _CANNOT_EXECUTE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
