"""Dead jobs: work that was given up for good, kept until an operator retries or discards it."""
