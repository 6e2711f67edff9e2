"""From a goal to a validated plan: intent, outline, rules, critique, revision. Knows the model, no database."""
