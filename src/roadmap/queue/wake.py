"""The wake list: tokens that producers push and idle workers block on. Losing one costs time, never a job."""

from redis.asyncio import Redis

__all__ = ["WAKE_LUA", "wake", "wake_key"]

# A Lua function for scripts that change a queue. Tokens are bounded and die with their workers.
WAKE_LUA = """
local function wake(key, tokens, token)
  for _ = 1, tokens do redis.call('LPUSH', key, token) end
  redis.call('LTRIM', key, 0, 127)
  redis.call('EXPIRE', key, 300)
end
"""
_WAKE = f"{WAKE_LUA} wake(KEYS[1], 1, ARGV[1])"


def wake_key(queue: str) -> str:
    """The wake list of a queue, both by their keys in Redis."""
    return f"arq:wake:{queue}"


async def wake(client: Redis, queue: str, job_id: str = "") -> None:
    """Wakes one idle worker of a queue (its key in Redis); with `job_id`, because that job does not run any more."""
    await client.execute_command("EVAL", _WAKE, 1, wake_key(queue), job_id)  # type: ignore[no-untyped-call]
