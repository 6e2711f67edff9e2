"""API keys: shown once, stored hashed, and refused as soon as they do not hold any more."""

import hashlib
from pathlib import Path

import httpx
import pytest
from inside import Api, open_api
from stack import api_client, open_stack

from roadmap.accounts.keys import KeyRing, create_key
from roadmap.errors import Invalid, Unauthorized

PATH = "/v1/roadmaps"


async def status(client: httpx.AsyncClient, secret: str) -> int:
    return (await client.get(PATH, headers={"Authorization": f"Bearer {secret}"})).status_code


async def test_a_key_is_stored_as_its_hash_alone(api: Api) -> None:
    key = await create_key(api.db, "carol@example.org", "laptop", None)
    row = await api.db.fetchrow("SELECT * FROM api_keys WHERE id = $1", key.id)
    assert row is not None
    assert row["sha256"] == hashlib.sha256(key.secret.encode()).digest()
    assert key.secret not in str(dict(row))
    assert await status(api.nobody, key.secret) == 200


async def test_keys_are_long_and_never_the_same(api: Api) -> None:
    secrets = {(await create_key(api.db, "carol@example.org", "laptop", None)).secret for _ in range(20)}
    assert len(secrets) == 20
    assert all(secret.startswith("rk_") and len(secret) >= 46 for secret in secrets)


async def test_the_keys_of_an_address_are_those_of_one_user(api: Api) -> None:
    for email in ("carol@example.org", "Carol@Example.org"):
        await create_key(api.db, email, "laptop", None)
    assert await api.db.fetchval("SELECT count(*) FROM users WHERE lower(email) = 'carol@example.org'") == 1


@pytest.mark.parametrize("email", ["", "carol", "carol at example.org", "a@b c", "a" * 250 + "@b.org"])
async def test_what_is_no_address_gets_no_key(api: Api, email: str) -> None:
    with pytest.raises(Invalid):
        await create_key(api.db, email, "laptop", None)


async def test_a_key_expires(api: Api) -> None:
    key = await create_key(api.db, "carol@example.org", "laptop", 1)
    await api.db.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", key.id)
    assert await status(api.nobody, key.secret) == 401


async def test_a_key_is_revoked(api: Api) -> None:
    key = await create_key(api.db, "carol@example.org", "laptop", None)
    await api.db.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key.id)
    assert await status(api.nobody, key.secret) == 401


async def test_a_known_key_costs_no_statement_for_a_few_seconds(api: Api) -> None:
    key = await create_key(api.db, "carol@example.org", "laptop", None)
    ring = KeyRing()
    caller = await ring.caller(api.db, key.secret)
    await api.db.execute("DELETE FROM api_keys WHERE id = $1", key.id)
    assert await ring.caller(api.db, key.secret) == caller
    with pytest.raises(Unauthorized):
        await KeyRing().caller(api.db, key.secret)


async def test_the_last_use_is_written_once_a_minute(api: Api) -> None:
    key = await create_key(api.db, "carol@example.org", "laptop", None)

    async def use() -> object:
        await KeyRing().caller(api.db, key.secret)  # a ring of its own: nothing is cached
        return await api.db.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", key.id)

    first = await use()
    assert first is not None
    assert await use() == first
    await api.db.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds' WHERE id = $1", key.id)
    assert await use() > first  # type: ignore[operator]


async def test_a_machine_of_one_user_needs_no_key(
    database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_api(database_url, redis_url, auth_mode="none") as api:
        created = await api.nobody.post(PATH, json={"goal": "Learn SQL"})
        assert created.status_code == 202
        rows = (await api.nobody.get(PATH)).json()["data"]
        of_alice = (await api.alice.get(PATH)).json()["data"]  # a key makes no difference here
    assert [row["id"] for row in rows] == [created.json()["id"]]
    assert of_alice == rows
    assert "auth_mode_none" in capsys.readouterr().out


async def test_production_refuses_to_let_anybody_in(database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = {"AUTH_MODE": "none", "ENVIRONMENT": "production", "LLM_API_KEY": "x"}
    async with open_stack(tmp_path, database_url, redis_url, **settings) as stack:
        child = await stack.launch("web")
        assert await child.exits() == 2
    assert child.text().splitlines() == [
        "roadmap: misconfigured: settings: AUTH_MODE=none lets anybody in: production needs AUTH_MODE=keys"
    ]


async def test_a_secret_is_never_in_the_diagnostics(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with open_stack(tmp_path, database_url, redis_url, LOG_LEVEL="debug") as stack:
        await stack.start("web")
        async with api_client(stack.web_url, "rk_" + "secret" * 6) as client:
            assert (await client.get(PATH)).status_code == 401
        assert await stack.terminate("web") == 0
        assert stack["web"].lines("request")
        assert "secretsecret" not in stack["web"].text()
