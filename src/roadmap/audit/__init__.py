"""What operators did, and who tried to become one."""
