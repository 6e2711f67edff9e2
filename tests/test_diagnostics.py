"""Diagnostics as an operator gets them: the real stdout of a real process."""

import subprocess
import sys
from typing import Any

import orjson
import pytest

SETUP = """
import logging, sys, threading
import structlog
from roadmap.diagnostics import configure_diagnostics
log = structlog.get_logger()
configure_diagnostics("{level}", process="web-1"{more})
"""


def run(script: str, level: str = "info", more: str = "") -> subprocess.CompletedProcess[bytes]:
    program = SETUP.format(level=level, more=more) + script
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, check=True, timeout=30)


def lines(script: str, level: str = "info") -> list[dict[str, Any]]:
    """Every line of stdout, each a JSON object; nothing may go to stderr."""
    done = run(script, level)
    assert done.stderr == b""
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_an_event_is_one_line_with_message_level_time_process_and_fields() -> None:
    (line,) = lines('log.info("plan_ready", concepts=30, title="SQL für\\nalle", when=None)')

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "plan_ready",
        "level": "info",
        "process": "web-1",
        "concepts": 30,
        "title": "SQL für\nalle",
        "when": None,
    }


def test_what_the_scope_knows_is_on_every_line_ours_or_a_librarys() -> None:
    script = """
with structlog.contextvars.bound_contextvars(run="run_1"):
    log.info("ours")
    logging.getLogger("somebody.else").warning("theirs: %s", 7, extra={"shard": 3})
log.info("outside")
"""
    ours, theirs, outside = lines(script)

    assert (ours["message"], ours["run"]) == ("ours", "run_1")
    assert (theirs["message"], theirs["run"], theirs["shard"]) == ("theirs: 7", "run_1", 3)
    assert (theirs["level"], theirs["process"], theirs.keys() >= {"timestamp"}) == ("warning", "web-1", True)
    assert "run" not in outside


def test_what_is_below_the_level_is_left_out() -> None:
    script = """
log.debug("a"); log.info("b"); log.warning("c"); log.error("d"); log.log(20, "e"); log.log(30, "f")
logging.getLogger("x").info("g"); logging.getLogger("x").error("h")
"""
    assert [line["message"] for line in lines(script, "warning")] == ["c", "d", "f", "h"]
    assert [line["message"] for line in lines(script, "debug")] == list("abcdefgh")


def test_the_arguments_of_jobs_and_the_urls_of_calls_are_not_logged() -> None:
    script = """
for name in ("arq.worker", "httpx", "httpcore.http11", "uvicorn.access"):
    logging.getLogger(name).info("secret")
    logging.getLogger(name).warning("kept")
logging.getLogger("uvicorn.error").info("started")
"""
    told = [line["message"] for line in lines(script, "debug")]
    assert told == ["kept"] * 4 + ["started"]


def test_exceptions_are_structured_and_tell_no_local_variables() -> None:
    script = """
def fail(key):
    try:
        raise ValueError("inner")
    except ValueError as exc:
        raise RuntimeError("outer") from exc
for tell in (log.exception, logging.getLogger("library").exception):
    try:
        fail("sk-very-secret")
    except RuntimeError:
        tell("job_failed")
"""
    for line in lines(script):
        outer, inner = line["exception"]
        assert (line["message"], line["level"]) == ("job_failed", "error")
        assert (outer["exc_type"], outer["exc_value"]) == ("RuntimeError", "outer")
        assert (inner["exc_type"], inner["is_cause"]) == ("ValueError", True)
        assert [frame["name"] for frame in outer["frames"]] == ["<module>", "fail"]
        assert b"sk-very-secret" not in orjson.dumps(line)


def test_a_connection_that_cannot_be_had_is_told_in_a_line_without_a_traceback() -> None:
    script = """
try:
    raise ConnectionRefusedError("no")
except OSError:
    logging.getLogger("asyncpg.pool").warning("Failed to restore the floor", exc_info=True)
"""
    (line,) = lines(script)

    assert (line["message"], line["error"]) == ("Failed to restore the floor", "ConnectionRefusedError")
    assert "exception" not in line


def test_what_uvicorn_tells_terminals_is_not_told_twice() -> None:
    (line,) = lines('logging.getLogger("uvicorn.error").info("up", extra={"color_message": "\\x1b[1mup", "more": 1})')

    assert (line["message"], line["more"]) == ("up", 1)
    assert "color_message" not in line


def test_a_field_called_message_steps_aside() -> None:
    (line,) = lines('log.warning("offline_model", message="set LLM_API_KEY")')

    assert (line["message"], line["detail"]) == ("offline_model", "set LLM_API_KEY")


def test_no_odd_value_breaks_the_work_that_logs_it() -> None:
    script = """
from datetime import date
circle = []; circle.append(circle)
log.info("odd", day=date(2026, 3, 2), where=object, keys={1: b"x"})
log.info("huge", number=10**400, text="fine")
log.info("lone \\ud800", inner={"text": "\\ud800"})
log.info("circle", value=circle)
"""
    odd, huge, lone, circle = lines(script)

    assert (odd["day"], odd["where"], odd["keys"]) == ("2026-03-02", "<class 'object'>", {"1": "b'x'"})
    assert (huge["text"], len(huge["number"])) == ("fine", 401)
    assert lone["message"].startswith("lone ")
    assert circle["value"] == "[[...]]"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_of_many_threads_stay_whole(monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    script = """
library = logging.getLogger("library")
def speak(name):
    for number in range(200):
        log.info("ours", name=name, text="x" * (number * 97 % 20_000))
        library.warning("theirs %s", "y" * (number * 89 % 20_000))
threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    told = lines(script)

    assert len(told) == 4 * 2 * 200
    assert {line["message"][:6] for line in told} == {"ours", "theirs"}


@pytest.mark.parametrize("way", ["os.close(1)", "sys.stdout.close()"])
def test_a_stdout_that_is_gone_loses_lines_and_no_work(way: str) -> None:
    done = run(f"""
import os
{way}
log.info("lost")
log.exception("lost as well", exc_info=ValueError("x"))
os.write(2, b"done")
os._exit(0)
""")
    assert (done.stdout, done.stderr) == (b"", b"done")


def test_for_a_person_the_lines_are_text_without_colours_in_a_pipe() -> None:
    script = 'log.info("plan_ready", concepts=30)\nlogging.getLogger("x").warning("theirs")'
    done = run(script, more=", pretty=True")

    ours, theirs = done.stdout.decode().splitlines()
    assert "plan_ready" in ours
    assert "concepts=30" in ours
    assert "theirs" in theirs
    assert b"\x1b" not in done.stdout
