"""The console script, as a person meets it."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("roadmap")
OURS = {
    "DATABASE_URL",
    "REDIS_URL",
    "SERVICE_TYPE",
    "LLM_API_KEY",
    "LLM_BASE_URL",
    "OPENAI_API_KEY",
    "AUTH_MODE",
    "PORT",
}
COMMANDS = (
    "web",
    "content",
    "logs",
    "all",
    "start",
    "health",
    "migrate",
    "check",
    "keys",
    "keys create",
    "keys list",
    "keys revoke",
    "admin",
    "admin create",
    "admin list",
    "admin password",
    "admin role",
    "queues",
    "queues list",
    "queues pause",
    "queues resume",
    "dead-jobs",
    "dead-jobs list",
    "dead-jobs groups",
    "dead-jobs show",
    "dead-jobs retry",
    "dead-jobs discard",
    "dev",
    "demo",
    "offline-model",
)


def roadmap(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, env=plain | environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that servers may enter which run as another user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_helps(command: str) -> None:
    answer = roadmap(*command.split(), "--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: roadmap")


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {}, "SERVICE_TYPE is not set"),
        ([], {"SERVICE_TYPE": "celery"}, "set api, content, logs, web-logs or all"),
        (["start"], {"SERVICE_TYPE": "celery_logs"}, "old name of logs"),
        (["web"], {}, "set DATABASE_URL"),
        (["logs"], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "set REDIS_URL"),
        (["migrate"], {"DATABASE_URL": "mysql://127.0.0.1/x"}, "must start with postgresql://"),
        (["check"], {"PORT": "many"}, "PORT:"),
        (["check"], {"AUTH_MODE": "none", "ENVIRONMENT": "production"}, "AUTH_MODE=none lets anybody in"),
        (["demo"], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "set both DATABASE_URL and REDIS_URL"),
        (["keys", "create", "--email", "a@example.org", "--days", "0"], {}, "must be at least 1"),
        (["offline-model", "--port", "99999"], {}, "must be between 0 and 65535"),
        (["dead-jobs", "list"], {}, "set DATABASE_URL"),
        (["dead-jobs", "retry"], {}, "one of the arguments ID --fingerprint --all is required"),
        (["dead-jobs", "discard", "dead_1", "--all"], {}, "not allowed with argument ID"),
    ],
)
def test_what_cannot_work_is_told_in_words_and_exits_with_2(
    arguments: list[str], environment: dict[str, str], words: str
) -> None:
    answer = roadmap(*arguments, **{"PORT": "0", **environment})
    assert answer.returncode == 2
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_a_plain_installation_lacks_is_named() -> None:
    plain = "import sys; sys.modules['rich'] = None; from roadmap.cli import main; sys.exit(main(['demo']))"
    run = subprocess.run([sys.executable, "-c", plain], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 2
    assert run.stderr == "roadmap: misconfigured: `dev` and `demo` need an extra: `pip install 'roadmap[local]'`\n"


def test_the_demo_makes_a_roadmap_shows_it_and_leaves_nothing_running(data_dir: Path) -> None:
    answer = roadmap("demo", "Learn [statistics] in 8 weeks, 4 hours a week", "--data-dir", str(data_dir))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "run succeeded" in answer.stdout
    assert answer.stdout.count("✓✓✓") >= 20
    assert "What you will be able to do" in answer.stdout
    assert processes_in(data_dir) == []


def test_a_goal_that_the_api_refuses_is_told_in_one_line(data_dir: Path) -> None:
    answer = roadmap("demo", "x", "--data-dir", str(data_dir))
    assert answer.returncode == 1
    assert answer.stderr == "roadmap: goal: give at least 3 characters\n"


def processes_in(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode())
    return [line for line in lines if str(folder) in line]


async def test_a_warning_stands_beside_the_answer_and_not_in_it(unused_tcp_port: int) -> None:
    nowhere = f"postgresql://roadmap@127.0.0.1:{unused_tcp_port}/roadmap"
    command = await asyncio.create_subprocess_exec(
        PROGRAM, "keys", "create", "--email", "a@example.org",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "DATABASE_URL": nowhere},
    )  # fmt: skip
    assert command.stderr
    async with asyncio.timeout(30):
        assert b"database_away" in await command.stderr.readline()
    command.kill()
    said, _ = await command.communicate()
    assert said == b""
