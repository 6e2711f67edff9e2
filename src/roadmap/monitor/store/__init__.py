"""What operators see, from PostgreSQL. Every list is bounded, and every statement finds its rows by an index."""
