"""What operators see of the service as a whole."""
