"""The queue: arq's format in Redis, a producer that never raises for Redis, and a worker that outlives it."""
