"""The model layer: one function asks for a typed answer, one for Markdown; every call leaves a row in the ledger."""
