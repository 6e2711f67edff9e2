"""What jobs took, by function and minute."""
