"""How a process is made: one runtime, one loop, one owner of its signals, and any set of roles."""
