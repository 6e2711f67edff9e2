"""Runs: asynchronous pieces of work on a roadmap, their durable steps, their jobs, and the sweeper behind them."""
