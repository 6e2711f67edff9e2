"""All settings, from the environment. Read once, at an entry point; what is below receives values."""

import os
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from roadmap.errors import Misconfigured

# What libpq and asyncpg both understand; hosts add keys of their own (pgbouncer=true, channel_binding…) that asyncpg
# would send to the server as settings.
_DATABASE_KEYS = {"host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey"}
_POOLER_PORTS = {6432, 6543}
_UNESCAPED = "a character of its password is not percent-encoded: %40 is @, %2F is /, %3A is :, %25 is %, %23 is #"
# What hosts with mounted secrets may give as a file: DATABASE_URL_FILE=/run/secrets/database_url.
_SECRETS = {
    "database_url": ("DATABASE_URL",),
    "database_unpooled_url": ("DATABASE_UNPOOLED_URL",),
    "redis_url": ("REDIS_URL",),
    "llm_api_key": ("LLM_API_KEY", "OPENAI_API_KEY"),
    "jwt_secret_key": ("JWT_SECRET_KEY",),
    "jwt_secret_key_previous": ("JWT_SECRET_KEY_PREVIOUS",),
    "admin_password": ("ADMIN_PASSWORD",),
    "metrics_token": ("METRICS_TOKEN",),
}


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class AuthMode(StrEnum):
    KEYS = "keys"
    NONE = "none"


class Settings(BaseSettings):
    """Every setting with its default and meaning; README's table is generated from these fields.

    A variable that is set to nothing counts as not set. A secret X may also come from the file that X_FILE names.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True)

    environment: Environment = Field(
        Environment.DEVELOPMENT, description="`production` refuses what is only safe at home"
    )
    auth_mode: AuthMode = Field(AuthMode.KEYS, description="`keys`, or `none` for a single-user machine")
    host: str = Field("", description="address that a process listens on; empty: every one, IPv4 and IPv6")
    port: int = Field(
        8000, ge=0, le=65535, description="port of `web`; a worker listens only when this is set; 0: a free one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the diagnostics on stdout")
    data_dir: Path = Field(Path(".data"), description="where `dev` and `demo` keep the embedded servers' files")

    jwt_secret_key: SecretStr = Field(
        SecretStr(""),
        description="signs operators' sessions: 32 random characters or more; in production `web` does not start"
        " without it, elsewhere it makes one up that lasts until it ends",
    )
    jwt_secret_key_previous: SecretStr = Field(
        SecretStr(""), description="the key before, still believed; take it away 12 hours after a change"
    )
    admin_email: str = Field("", description="the first operator, whom `web` creates at its start while there is none")
    admin_password: SecretStr = Field(
        SecretStr(""),
        description="of the first operator: 12 characters or more; never changes an account that is there",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks, with commas, of the proxies in front, whose `X-Forwarded-For` and"
        " `-Proto` are believed; `*`: everybody's, where only a proxy that replaces them can reach `web`",
    )

    database_url: SecretStr = Field(SecretStr(""), description="PostgreSQL 15 or later; `postgres://` is accepted")
    database_unpooled_url: SecretStr = Field(SecretStr(""), description="used by `migrate` when a pooler is in front")
    db_pooler: Literal["auto", "none", "transaction"] = Field(
        "auto", description="`transaction` for PgBouncer and its like"
    )
    db_pool_web: int = Field(5, ge=1, description="connections of one `web` process")
    db_pool_content: int = Field(4, ge=2, description="connections of one `content` process")
    db_pool_logs: int = Field(2, ge=1, description="connections of one `logs` process")
    replicas_web: int = Field(
        1, ge=0, description="how many processes serve `web`, alone or beside others, for the budget"
    )
    replicas_content: int = Field(
        1, ge=0, description="how many processes serve `content`, alone or beside others, for the budget"
    )
    replicas_logs: int = Field(
        1, ge=0, description="how many processes serve `logs`, alone or beside others, for the budget"
    )
    db_connection_budget: int = Field(
        0, ge=0, description="connections that Roadmap may use; 0: the server's `max_connections`"
    )

    redis_url: SecretStr = Field(SecretStr(""), description="Redis 6.2 or later, or Valkey; `rediss://` for TLS")
    redis_namespace: str = Field(
        "", pattern=r"^[a-z0-9_-]{0,32}$", description="prefix of the queues' names, to share one Redis"
    )

    llm_provider: Literal["auto", "http", "offline"] = Field(
        "auto", description="`auto`: `http` when a base URL or key is set"
    )
    llm_base_url: str = Field(
        "",
        description="OpenAI-compatible endpoint, up to `/v1`",
        validation_alias=AliasChoices("llm_base_url", "openai_base_url"),
    )
    llm_api_key: SecretStr = Field(
        SecretStr(""),
        description="the endpoint's key",
        validation_alias=AliasChoices("llm_api_key", "openai_api_key"),
    )
    llm_model: str = Field(
        "gpt-5-mini",
        description="the model's name",
        validation_alias=AliasChoices("llm_model", "openai_model"),
    )
    llm_timeout: float = Field(120.0, gt=0, le=600, description="seconds for one model call")
    llm_input_price: int = Field(0, ge=0, description="micro-dollars for a million input tokens")
    llm_output_price: int = Field(0, ge=0, description="micro-dollars for a million output tokens")
    llm_concurrency: int = Field(0, ge=0, description="model calls at once, of all processes together; 0: no limit")
    llm_requests_per_minute: int = Field(
        0, ge=0, description="model calls that begin in a minute, of all processes together; 0: no limit"
    )
    llm_tokens_per_minute: int = Field(
        0, ge=0, description="tokens asked and answered in a minute, of all processes together; 0: no limit"
    )
    learner_daily_micros: int = Field(
        0, ge=0, description="micro-dollars that one learner's model calls may cost a day (UTC); 0: no limit"
    )

    verify_links: Literal["auto", "on", "off"] = Field(
        "auto", description="ask for the pages that a model names; `auto`: unless the offline model answers"
    )
    content_concurrency: int = Field(
        100, ge=1, le=1000, description="concepts written at once by one `content` process"
    )
    max_requests: int = Field(
        1_000, ge=1, description="requests that one `web` process answers at once; event streams have their own limit"
    )
    backlog_limit: int = Field(
        50_000, ge=0, description="jobs on the queue `content` above which new roadmaps are refused; 0: no limit"
    )
    learner_backlog: int = Field(
        100, ge=0, description="active runs of one learner above which new ones are refused; 0: no limit"
    )
    lease: float = Field(10.0, ge=1, le=60, description="seconds after which a silent worker's work is taken over")
    shutdown_grace: float = Field(25.0, ge=1, description="seconds between SIGTERM and exit")
    shutdown_drain: float = Field(
        5.0, ge=0, description="seconds of these for which `web` still serves, if a balancer looks at /ready"
    )
    hibernate_after: float = Field(
        0.0, ge=0, description="seconds without work after which a `content` process closes its connections; 0: never"
    )
    wake_url: str = Field("", description="where others reach a `content` process that hibernates: http://…:PORT/wake")
    watchdog: float = Field(
        30.0, ge=0, le=600, description="seconds after which a process whose loop is blocked ends itself; 0: never"
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="bearer token that `/metrics` asks for; empty: anybody may read it, but `web` in production shows"
        " it to nobody",
    )
    log_retention_days: int = Field(30, ge=1, description="days that execution logs are kept")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed, then the environment, then the files that it names. Raises Misconfigured for such a file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_secret_files(os.environ))

    @field_validator("database_url", "database_unpooled_url", mode="after")
    @classmethod
    def _strip_foreign_keys(cls, url: SecretStr) -> SecretStr:
        return SecretStr(clean_database_url(url.get_secret_value()))

    @field_validator("redis_url", mode="after")
    @classmethod
    def _check_redis_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            _split_address(url.get_secret_value(), "redis", "rediss", "unix")
        return url

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _check_proxies(cls, listed: str) -> str:
        return listed if listed == "*" else ",".join(_read_networks(listed))

    @field_validator("hibernate_after", mode="after")
    @classmethod
    def _check_hibernation(cls, seconds: float) -> float:
        if 0 < seconds < 1:
            raise ValueError("must be 0 or at least 1")
        return seconds

    @field_validator("wake_url", mode="after")
    @classmethod
    def _check_wake_url(cls, url: str) -> str:
        if url and (not (parts := _split_address(url, "http", "https")).hostname or "@" in parts.netloc):
            raise ValueError("must name a host, and no user")
        return url

    @field_validator("watchdog", mode="after")
    @classmethod
    def _check_watchdog(cls, seconds: float) -> float:
        if 0 < seconds < 3:
            raise ValueError("must be 0 or at least 3: a loop may have a slow second")
        return seconds

    @model_validator(mode="after")
    def _refuse_what_production_must_not_have(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.auth_mode is AuthMode.NONE:
            raise ValueError("AUTH_MODE=none lets anybody in: production needs AUTH_MODE=keys")
        return self

    @model_validator(mode="after")
    def _refuse_half_an_account(self) -> Self:
        if bool(self.admin_email) != bool(self.admin_password.get_secret_value()):
            raise ValueError("set both ADMIN_EMAIL and ADMIN_PASSWORD, or neither")
        return self

    def secrets(self) -> list[str]:
        """What no output may show: the secrets, and addresses, which may hold one. See redaction."""
        secrets = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        addresses = [value for _, value in self if isinstance(value, str) and "://" in value]
        return [text for text in (*secrets, *addresses) if text]

    @property
    def uses_offline_model(self) -> bool:
        """Whether the built-in provider answers; `auto` falls back to it outside production only."""
        if self.llm_provider != "auto":
            return self.llm_provider == "offline"
        return not self.llm_base_url and not self.llm_api_key.get_secret_value()

    @property
    def checks_links(self) -> bool:
        """Whether content workers ask for strangers' pages; what the built-in model names is known."""
        return self.verify_links == "on" or (self.verify_links == "auto" and not self.uses_offline_model)

    @property
    def behind_transaction_pooler(self) -> bool:
        """Whether prepared statements must not outlive a transaction."""
        if self.db_pooler != "auto":
            return self.db_pooler == "transaction"
        port = urlsplit(self.database_url.get_secret_value()).port
        return port in _POOLER_PORTS or bool(self.database_unpooled_url.get_secret_value())

    @property
    def names_port(self) -> bool:
        """Whether somebody set PORT, as hosts do for each process that is to be looked at."""
        return "port" in self.model_fields_set

    def queue_name(self, queue: str) -> str:
        """The Redis key of a queue: `content`, or `staging:content` with REDIS_NAMESPACE=staging."""
        return f"{self.redis_namespace}:{queue}" if self.redis_namespace else queue


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment. Raises Misconfigured with one line per wrong variable, values left out."""
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        lines = [
            f"{'_'.join(map(str, e['loc'])).upper() or 'settings'}: {e['msg'].removeprefix('Value error, ')}"
            for e in exc.errors()
        ]
        raise Misconfigured("\n".join(lines)) from None


def clean_database_url(url: str) -> str:
    """`postgres://` becomes `postgresql://`; query keys that asyncpg does not know are dropped.

    Raises ValueError where a part of the password would be taken for the host, and be told as one.
    """
    if not url:
        return url
    parts = _split_address(url, "postgresql", "postgres")
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.fragment + parts.query.partition("=")[0]:
        raise ValueError(_UNESCAPED)
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key in _DATABASE_KEYS])
    # urlunsplit would leave the two slashes out where there is no host, only a socket's folder in the query.
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def _read_networks(listed: str) -> list[str]:
    """Each as a network. Our socket shows an IPv4 address inside an IPv6 one, and is told of both."""
    networks: list[str] = []
    for text in filter(None, map(str.strip, listed.split(","))):
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, with commas, or *") from None
        networks.append(str(network))
        if network.version == 4:
            networks.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return networks


def _split_address(url: str, *schemes: str) -> SplitResult:
    """Raises ValueError in words of its own: those of urllib quote the address, and with it the password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is no address; perhaps {_UNESCAPED}" if "@" in url else "is no address") from None
    if parts.scheme not in schemes:
        begins = ", and begins with a quote" if url.startswith(("'", '"')) else ""
        raise ValueError(f"must start with {schemes[0]}://{begins}")
    return parts


def _read_secret_files(environment: Mapping[str, str]) -> dict[str, Any]:
    """The secrets that are given as files, stripped. Messages name the variable, neither path nor content."""
    secrets: dict[str, Any] = {}
    for field, names in _SECRETS.items():
        files = [f"{name}_FILE" for name in names if environment.get(f"{name}_FILE")]
        given = [*files, *(name for name in names if environment.get(name))]
        if files and len(given) > 1:
            raise Misconfigured(f"set only one of {', '.join(given)}")
        for variable in files:
            secrets[field] = _read_secret(variable, Path(environment[variable]))
    return secrets


def _read_secret(variable: str, path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"{variable}: the file cannot be read ({type(exc).__name__})") from None
    if not secret:
        raise Misconfigured(f"{variable}: the file is empty")
    return secret
