"""What an operator does about dead work, by its code. docs/troubleshooting.md says more, of the same codes."""

from collections.abc import Mapping

__all__ = ["ADVICE"]

DISCARD = (
    "Discard it: another release, or another program, wrote what no worker here executes."
    " What it was to do comes again from its row."
)
A_BETTER_MODEL = "Retry it. When it happens often, take a better model."

ADVICE: Mapping[str, str] = {
    "provider_refused_key": "Set LLM_API_KEY, start the content workers again, then retry the group.",
    "provider_unknown_model": "Set LLM_MODEL or LLM_BASE_URL, start the content workers again, then retry the group.",
    "provider_refused": "Look for model_call_failed in the log of the content workers: it has the provider's own code.",
    "provider_unavailable": "Retry the group once the provider is back.",
    "model_timeout": "Set a higher LLM_TIMEOUT, or take a quicker model; then retry it.",
    "model_refused": "Discard it: the model would not answer this, and a retry asks the same.",
    "model_malformed": A_BETTER_MODEL,
    "model_rules": A_BETTER_MODEL,
    "model_empty": A_BETTER_MODEL,
    "model_truncated": A_BETTER_MODEL,
    "model_too_long": A_BETTER_MODEL,
    "plan_rejected": "Its run's steps tell why no plan was accepted: say more in the goal, or take a better model.",
    "tutorial_length": A_BETTER_MODEL,
    "no_resources": A_BETTER_MODEL,
    "budget_exceeded": "Complete the roadmap with a raised budget, or wait for tomorrow (UTC) and retry.",
    "worker_died": "Look at why its workers died before you retry it: memory, as a rule.",
    "timeout": "It was not done in half an hour: look for what blocks, then retry it.",
    "internal": "A bug: report the traceback, and retry it after the fix.",
    "arguments": DISCARD,
    "unknown_function": DISCARD,
    "undecodable": DISCARD,
    "expired": DISCARD,
}
