"""PostgreSQL, Redis and the process supervisor for a bare machine; imported by the command line and the tests alone."""
