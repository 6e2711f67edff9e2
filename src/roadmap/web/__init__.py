"""The API's process: the URL table, middleware, problems, health and the OpenAPI document."""
