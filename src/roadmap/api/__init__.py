"""The conventions of the JSON API: operations, validated calls, problems, pages. Endpoints of all rooms build on it."""
