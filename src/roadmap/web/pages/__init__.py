"""The monitor's pages: HTML for operators."""
