"""Who calls: users and their API keys."""
