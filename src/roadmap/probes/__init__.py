"""What every process answers on its port: whether it lives, and whether it can serve."""
