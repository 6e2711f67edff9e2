"""Settings from the environment: what hosts write into it, and what is refused."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from roadmap.errors import Misconfigured
from roadmap.settings import AuthMode, Environment, Settings, read_settings

SECRET = "hunter2-hunter2"
URL = f"postgresql://roadmap:{SECRET}@db.example.com:5432/roadmap"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {*(name.upper() for name in Settings.model_fields), "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"}
    for name in list(os.environ):
        if name.upper().removesuffix("_FILE") in ours:
            monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def database_url(settings: Settings) -> str:
    return settings.database_url.get_secret_value()


def test_nothing_has_to_be_set() -> None:
    settings = read_settings()

    assert (settings.environment, settings.auth_mode) == (Environment.DEVELOPMENT, AuthMode.KEYS)
    assert settings.uses_offline_model
    assert not settings.behind_transaction_pooler


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        (URL.replace("postgresql", "postgres"), URL),
        (f"{URL}?sslmode=require&pgbouncer=true&channel_binding=require", f"{URL}?sslmode=require"),
        (f"{URL}?options=-c%20a%3Db#part", URL),
        ("postgresql:///roadmap?host=%2Frun%2Fpg", "postgresql:///roadmap?host=%2Frun%2Fpg"),
        ("postgresql://u:p%40ss%2F@[::1]:5433/x", "postgresql://u:p%40ss%2F@[::1]:5433/x"),
        ("", ""),
    ],
)
def test_an_address_of_a_host_becomes_one_for_asyncpg(monkeypatch: pytest.MonkeyPatch, given: str, clean: str) -> None:
    settings = read(monkeypatch, DATABASE_URL=given, DATABASE_UNPOOLED_URL=given)

    assert database_url(settings) == clean
    assert settings.database_unpooled_url.get_secret_value() == clean


@pytest.mark.parametrize(
    ("variables", "pooled"),
    [
        ({"DATABASE_URL": URL}, False),
        ({"DATABASE_URL": URL.replace("5432", "6432")}, True),
        ({"DATABASE_URL": URL.replace("5432", "6543")}, True),
        ({"DATABASE_URL": URL, "DATABASE_UNPOOLED_URL": URL}, True),
        ({"DATABASE_URL": URL.replace("5432", "6543"), "DB_POOLER": "none"}, False),
        ({"DATABASE_URL": URL, "DB_POOLER": "transaction"}, True),
        ({"DATABASE_URL": URL.replace(":5432", "")}, False),
    ],
)
def test_a_pooler_is_known_by_its_port_or_by_the_way_around_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], pooled: bool
) -> None:
    assert read(monkeypatch, **variables).behind_transaction_pooler is pooled


def test_the_names_of_openai_are_understood_and_ours_win(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = read(monkeypatch, OPENAI_API_KEY="sk-1", OPENAI_BASE_URL="https://a.example/v1", OPENAI_MODEL="m1")
    ours = read(monkeypatch, LLM_API_KEY="sk-2", LLM_BASE_URL="https://b.example/v1", LLM_MODEL="m2")

    assert (theirs.llm_api_key.get_secret_value(), theirs.llm_base_url, theirs.llm_model) == (
        "sk-1",
        "https://a.example/v1",
        "m1",
    )
    assert (ours.llm_api_key.get_secret_value(), ours.llm_base_url, ours.llm_model) == (
        "sk-2",
        "https://b.example/v1",
        "m2",
    )
    assert not theirs.uses_offline_model


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, PORT="", LLM_API_KEY="", OPENAI_API_KEY="sk-1")

    assert settings.port == 8000
    assert settings.llm_api_key.get_secret_value() == "sk-1"


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({}, True),
        ({"LLM_API_KEY": "sk-1"}, False),
        ({"LLM_BASE_URL": "http://localhost:11434/v1"}, False),
        ({"LLM_API_KEY": "sk-1", "LLM_PROVIDER": "offline"}, True),
        ({"LLM_PROVIDER": "http"}, False),
    ],
)
def test_the_built_in_model_answers_while_no_other_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], offline: bool
) -> None:
    assert read(monkeypatch, **variables).uses_offline_model is offline


@pytest.mark.parametrize(
    ("variables", "checked"),
    [
        ({}, False),
        ({"LLM_API_KEY": "sk-1"}, True),
        ({"LLM_API_KEY": "sk-1", "LLM_PROVIDER": "offline"}, False),
        ({"LLM_API_KEY": "sk-1", "VERIFY_LINKS": "off"}, False),
        ({"VERIFY_LINKS": "on"}, True),
    ],
)
def test_links_are_checked_unless_the_built_in_model_names_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], checked: bool
) -> None:
    assert read(monkeypatch, **variables).checks_links is checked


def test_a_namespace_stands_in_front_of_the_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().queue_name("content") == "content"
    assert read(monkeypatch, REDIS_NAMESPACE="staging").queue_name("content") == "staging:content"


def test_production_lets_nobody_in_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, AUTH_MODE="none").auth_mode is AuthMode.NONE

    with pytest.raises(Misconfigured, match="AUTH_MODE=none"):
        read(monkeypatch, ENVIRONMENT="production")


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://root:{SECRET}@db/x",
        f"postgresql://root:{SECRET}@db:port/x",
        f"postgresql://root:{SECRET}@db:99999/x",
        f"postgresql://root:{SECRET}\u2100@db/x",
        f"postgresql://root:{SECRET}@[db/x",
        SECRET,
    ],
)
def test_a_wrong_address_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        read(monkeypatch, DATABASE_URL=url)

    assert str(caught.value).startswith("DATABASE_URL: ")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "password", ["p@ss", "pa/ss", "12/34", "p@ss/word", "pa#ss", "12#34", "pa?ss", "12?34", "pa:s/s"]
)
def test_a_password_that_is_not_escaped_is_named_as_the_fault(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """Where it is taken apart, a part of it would be the host that diagnostics name."""
    with pytest.raises(Misconfigured, match=r"password is not percent-encoded: %40 is @") as caught:
        read(monkeypatch, DATABASE_URL=f"postgresql://roadmap:{password}@localhost/roadmap")
    assert password not in str(caught.value)
    quoted = f"postgresql://roadmap:{quote(password, safe='')}@localhost/roadmap"
    assert database_url(read(monkeypatch, DATABASE_URL=quoted)) == quoted


@pytest.mark.parametrize("sign", ["'", '"'])
def test_quotes_around_an_address_are_told(monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    with pytest.raises(Misconfigured, match=r"^DATABASE_URL: must start with postgresql://, and begins with a quote$"):
        read(monkeypatch, DATABASE_URL=f"{sign}{URL}{sign}")


@pytest.mark.parametrize("seconds", ["0", "3", "30", "600"])
def test_the_watchdog_is_off_or_gives_a_loop_time(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    assert read_settings().watchdog == 30
    assert read(monkeypatch, WATCHDOG=seconds).watchdog == float(seconds)
    for wrong in ("-1", "0.5", "2.9", "601"):
        with pytest.raises(Misconfigured, match=r"^WATCHDOG: "):
            read(monkeypatch, WATCHDOG=wrong)


@pytest.mark.parametrize("url", [f"http://:{SECRET}@cache/0", f"redis://:{SECRET}@cache:port/0", SECRET])
def test_a_wrong_address_of_redis_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^REDIS_URL: (is no address; perhaps .*|must start with redis://)$"):
        read(monkeypatch, REDIS_URL=url)


@pytest.mark.parametrize("url", ["redis://cache", "rediss://:p@cache:6380/1", "unix:///run/redis.sock?db=2"])
def test_every_form_of_an_address_of_redis_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert read(monkeypatch, REDIS_URL=url).redis_url.get_secret_value() == url


def test_every_wrong_variable_is_named_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dict.fromkeys(("PORT", "ENVIRONMENT", "LOG_LEVEL", "LLM_TIMEOUT", "REDIS_NAMESPACE"), SECRET.upper())

    with pytest.raises(Misconfigured) as caught:
        read(monkeypatch, **wrong)

    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == set(wrong)
    assert SECRET.upper() not in str(caught.value)


FILES = [
    "DATABASE_URL", "DATABASE_UNPOOLED_URL", "REDIS_URL", "LLM_API_KEY", "OPENAI_API_KEY", "JWT_SECRET_KEY",
    "JWT_SECRET_KEY_PREVIOUS", "ADMIN_PASSWORD",
]  # fmt: skip


OPERATOR = {"ADMIN_PASSWORD": "olga@example.org"}


@pytest.mark.parametrize("name", FILES)
def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    secret = "redis://cache:6379" if name == "REDIS_URL" else URL
    file.write_text(f"  {secret}\n")

    settings = read(monkeypatch, ADMIN_EMAIL=OPERATOR.get(name, ""), **{f"{name}_FILE": str(file)})

    field = name.lower().replace("openai", "llm")
    assert getattr(settings, field).get_secret_value() == secret


@pytest.mark.parametrize(
    ("file_variable", "variable"),
    [(name, name) for name in FILES] + [("LLM_API_KEY", "OPENAI_API_KEY"), ("OPENAI_API_KEY", "LLM_API_KEY")],
)
def test_a_secret_and_its_file_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file_variable: str, variable: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(URL)

    with pytest.raises(Misconfigured, match=f"set only one of {file_variable}_FILE, {variable}"):
        read(monkeypatch, **{f"{file_variable}_FILE": str(file), variable: URL})


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_refused_without_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Misconfigured, match=r"^REDIS_URL_FILE: the file ") as caught:
        read(monkeypatch, REDIS_URL_FILE=str(file))
    assert str(tmp_path) not in str(caught.value)


def test_a_file_with_a_wrong_address_is_refused_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"mysql://root:{SECRET}@db/x")

    with pytest.raises(Misconfigured, match=r"^DATABASE_URL: must start with postgresql://$"):
        read(monkeypatch, DATABASE_URL_FILE=str(file))


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = f"redis://:{SECRET}@cache:6379/0"
    settings = read(monkeypatch, DATABASE_URL=URL, DATABASE_UNPOOLED_URL=URL, REDIS_URL=redis, LLM_API_KEY=SECRET)

    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown


@pytest.mark.parametrize("variables", [{"ADMIN_EMAIL": "olga@example.org"}, {"ADMIN_PASSWORD": SECRET}])
def test_half_an_account_is_refused(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="set both ADMIN_EMAIL and ADMIN_PASSWORD, or neither") as caught:
        read(monkeypatch, **variables)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("", ""),
        ("*", "*"),
        ("10.0.0.7", "10.0.0.7/32,::ffff:10.0.0.7/128"),
        (" 100.64.0.0/10 , fd00::/8,", "100.64.0.0/10,::ffff:100.64.0.0/106,fd00::/8"),
        ("10.1.2.3/8", "10.0.0.0/8,::ffff:10.0.0.0/104"),
    ],
)
def test_proxies_are_networks_and_ours_sees_ipv4_inside_ipv6(
    monkeypatch: pytest.MonkeyPatch, given: str, read_as: str
) -> None:
    assert read(monkeypatch, TRUSTED_PROXIES=given).trusted_proxies == read_as


@pytest.mark.parametrize("given", ["proxy.internal", "10.0.0.0/33", "*,10.0.0.1", "10.0.0.1;10.0.0.2"])
def test_what_is_no_network_is_no_proxy(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    with pytest.raises(Misconfigured, match=r"^TRUSTED_PROXIES: must be addresses or networks"):
        read(monkeypatch, TRUSTED_PROXIES=given)
