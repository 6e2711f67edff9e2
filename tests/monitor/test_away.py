"""What operators see while Redis is away: what is not known is null, and everything else is there."""

from inside import open_api


async def test_while_redis_is_away_each_view_shows_what_postgresql_knows(database_url: str) -> None:
    async with open_api(database_url, "redis://127.0.0.1:1/0", auth_mode="none") as api:
        seen = {}
        for name in (
            "overview",
            "queues",
            "queues/content/jobs",
            "workers",
            "functions",
            "failures",
            "model",
            "system",
        ):
            answer = await api.nobody.get(f"/v1/admin/{name}")
            assert answer.status_code == 200, (name, answer.text)
            seen[name] = answer.json()
        paused = await api.nobody.post("/v1/admin/queues/content/pause")
    assert paused.json()["changed"] is True
    assert seen["overview"]["level"] == "amber"
    assert seen["queues"]["data"][0]["open_work"] == 0
    assert seen["queues/content/jobs"] == {"queue": "content", "depth": None, "data": None}
    assert seen["model"]["gates"] is None
    assert seen["system"]["redis"] is None
    assert (seen["system"]["log"]["jobs"], seen["system"]["log"]["lag_seconds"]) == (None, None)
    assert seen["system"]["database"]["connections"] > 0
