"""What a line may show: no secret, neither this process's by its value nor anybody's by its form."""

import subprocess
import sys
from urllib.parse import quote

import orjson
import pytest
from pydantic import SecretStr

from roadmap.dead_jobs.cause import death_of
from roadmap.redaction import Redactor
from roadmap.settings import Settings

PASSWORD = 'p@ss/w"ör\\d%41:1'
SECRETS = [f"postgresql://roadmap:{quote(PASSWORD, safe='')}@db:5432/roadmap", "sk-one-two-three", "12345678"]


TELLING = [
    PASSWORD,
    quote(PASSWORD, safe=""),
    repr(PASSWORD),
    f"InvalidPasswordError: {SECRETS[0]}",
    "redis://:hidden-1@cache:6379/0",
    "see https://user:hidden-1@host/path?x=1#y",
    "https://hidden-1@host",
    "Authorization: Bearer hidden-1",
    "{'authorization': 'Basic hidden-1'}",
    "Cookie: roadmap_session=hidden-1; other=hidden-1",
    "host=db password=hidden-1 port=5432",
    '{"api_key": "hidden-1"}',
    "ApiKey='hidden-1'",
    "GET /x?token=hidden-1&page=2",
    "$argon2id$v=19$m=19456,t=2,p=1$hidden-1$hidden-1",
    "rk_hidden-1",
    "Incorrect API key provided: sk-proj-hidden-1",
    "their answer:\nsk_hidden-1",
    "PGPASSWORD=hidden-1 psql",
    "connect(passwd='hidden-1')",
    "{'token': 'hidden-1'}",
    "Set-Cookie: hidden-1",
]


@pytest.mark.parametrize("text", TELLING)
def test_a_secret_leaves_a_text(text: str) -> None:
    told = Redactor(SECRETS).text(text)

    assert "***" in told
    for secret in ("hidden-1", PASSWORD, quote(PASSWORD, safe=""), repr(PASSWORD)[1:-1]):
        assert secret not in told


@pytest.mark.parametrize("text", TELLING)
def test_a_secret_leaves_a_line_of_diagnostics_and_a_batch_of_the_execution_log(text: str) -> None:
    """Both look for signs first, and at the text itself only when there is one."""
    redactor, fields = Redactor(SECRETS), {"message": "failed", "detail": text}
    line = orjson.dumps(fields)
    for told in (redactor.line(line, fields), redactor.json(line.decode()).encode()):
        assert told is not None
        assert orjson.loads(told) == {"message": "failed", "detail": redactor.text(text)}


@pytest.mark.parametrize(
    "text",
    [
        "Basic SQL in six weeks: tokens and secrets of joins",
        "see https://example.com/@user and mail a@example.org",
        "max_tokens=100 input_tokens=5 key=roadmap:queue",
        "roadmap.queue.worker on db:5432",
        "work_item_12345 risk-averse",
    ],
)
def test_a_text_without_one_stays_as_it_is(text: str) -> None:
    assert Redactor(SECRETS).text(text) == text


@pytest.mark.parametrize("password", ["", "roadmap", "short"])
def test_a_password_that_is_a_common_word_does_not_tear_lines_apart(password: str) -> None:
    redactor = Redactor([f"postgresql://roadmap:{password}@db/roadmap"])

    assert redactor.text("roadmap.queue says short words") == "roadmap.queue says short words"
    assert redactor.text(f"postgresql://roadmap:{password}@db/roadmap") == "postgresql://***@db/roadmap"


def test_every_setting_that_is_a_secret_is_one_of_the_process() -> None:
    """Derived from the fields: a new one is covered by itself."""
    secret = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
    settings = Settings.model_construct(
        **{name: SecretStr(f"secret-{name}") for name in secret}, llm_base_url="https://u:p@h"
    )

    assert {f"secret-{name}" for name in secret} | {"https://u:p@h"} == set(settings.secrets())


def test_a_dead_job_keeps_neither_message_nor_traceback_with_a_secret() -> None:
    def log_in() -> None:
        raise RuntimeError(f"cannot log in with {PASSWORD}, ['{SECRETS[1]}'] or rk_{'A' * 40}")

    with pytest.raises(RuntimeError) as caught:
        log_in()
    death = death_of(Redactor(SECRETS), caught.value, "draft")
    assert death.traceback is not None
    assert "cannot log in with ***, ['***'] or ***" in death.traceback


SCRIPT = """
import logging, sys
import structlog
from roadmap.diagnostics import configure_diagnostics
secrets = {secrets!r}
configure_diagnostics("info", process="web-1", secrets=secrets{more})
log, library, password = structlog.get_logger(), logging.getLogger("library"), {password!r}
log.info("clean", count=12345678, path="/v1/roadmaps")
log.info(f"in the name: {{password}}")
log.info("field", where=password, url=secrets[0])
log.info("nested", details={{"deep": [{{"deeper": password}}, {{"db_password": "hidden-1", "tokens": 5}}]}})
log.info("named", authorization="hidden-1", cookie={{"a": "hidden-1"}}, api_key=None)
log.info("key", **{{password: 1}})
log.info("bytes", raw=password.encode(), error=ValueError(password))
log.info("odd", huge=10**400, where=password, lone="\\ud800")
library.error("theirs: %s", password, extra={{"shard": password}})
library.error("theirs: Bearer hidden-1")
for tell in (log.exception, library.exception):
    try:
        try:
            raise OSError(f"inner {{password}}")
        except OSError as exc:
            raise ConnectionError(secrets[0], {{"token": "hidden-1"}}) from exc
    except ConnectionError:
        tell("failed")
"""


@pytest.mark.parametrize("more", ["", ", pretty=True"])
def test_no_line_of_diagnostics_shows_a_secret(more: str) -> None:
    program = SCRIPT.format(secrets=SECRETS, password=PASSWORD, more=more)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=30)

    assert done.stderr == b""
    told = done.stdout.decode()
    for hidden in ("hidden-1", 'w"ör', 'w\\"ör', "p%40ss", "p@ss"):
        assert hidden not in told
    assert told.count("***") >= 14
    if not more:
        lines = [orjson.loads(line) for line in told.splitlines()]
        assert [line["message"] for line in lines][:4] == ["clean", "in the name: ***", "field", "nested"]
        assert (lines[0]["count"], lines[3]["details"]["deep"][1]["tokens"]) == (12345678, 5)
        assert (lines[2]["url"], lines[4]["api_key"]) == ("postgresql://***@db:5432/roadmap", None)
        assert [frame["name"] for frame in lines[-1]["exception"][0]["frames"]] == ["<module>"]
