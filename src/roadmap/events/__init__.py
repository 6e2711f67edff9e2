"""What clients are told about a roadmap: a gap-free sequence, stored with the change that it tells of."""
