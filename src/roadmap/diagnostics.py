"""Process logs for operators: structlog, one JSON line on stdout with `message` and `level`."""

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from roadmap.redaction import Redactor

__all__ = ["configure_diagnostics", "warn_on_stderr"]

_JSON = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def configure_diagnostics(level: str, *, process: str, pretty: bool = False, secrets: Iterable[str] = ()) -> None:
    """Sends structlog and the libraries' loggers to stdout in one form, without any of these secrets. `pretty` is for a
    person at a terminal."""
    chain, lines, redactor = _chain(process), _Lines(sys.stdout), Redactor(secrets)
    renderer = _pretty_renderer(redactor, colors=sys.stdout.isatty()) if pretty else _json_renderer(redactor)
    structlog.configure(
        # Our own events take no way through `logging`: that alone would cost more than all the rest of a note.
        processors=[*chain, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*chain, ExtraAdder(), _drop_colors],
            processors=[ProcessorFormatter.remove_processors_meta, *renderer, _as_text],
        )
    )
    _route_libraries(handler, level.upper())


def warn_on_stderr(redact: Callable[[str], str]) -> None:
    """For a command: its answer has stdout for itself; what is wrong on the way to it is told beside."""

    def without_secrets(_logger: Any, _method: str, text: Any) -> str:
        return redact(str(text))

    person = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[*structlog.get_config()["processors"][:-1], person, without_secrets],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _route_libraries(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # arq logs the arguments of every job and httpx every URL, both at INFO.
    for noisy in ("arq", "httpx", "httpcore", "uvicorn.access", "sse_starlette"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    # While PostgreSQL is away it tells of every try with a traceback through its own code, which tells nobody anything.
    logging.getLogger("asyncpg.pool").addFilter(_name_the_error)


def _drop_colors(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Of uvicorn, which tells each line a second time for terminals."""
    event.pop("color_message", None)
    return event


def _name_the_error(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[0] is not None:
        record.error, record.exc_info = record.exc_info[0].__name__, None
    return True


class _Lines:
    """Where all lines end, ours and those of `logging`: one write each, under one lock, so that they stay whole.

    structlog uses it as its logger and as the factory of it. A stdout that is closed or gone loses lines; it never
    breaks the work that they tell of.
    """

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout.buffer
        self._lock = threading.RLock()  # of this kind because a signal's handler may log in the middle of a line

    def __call__(self, *_: Any) -> "_Lines":
        return self

    def write(self, line: bytes | str) -> None:
        rest = memoryview(line.encode() if isinstance(line, str) else line)
        with suppress(OSError, ValueError), self._lock:
            # With PYTHONUNBUFFERED the stream is bare, and a pipe may take a part only.
            while rest and (taken := self._stdout.write(rest)):
                rest = rest[taken:]
            self._stdout.flush()

    debug = info = warning = error = critical = write


def _chain(process: str) -> list[Processor]:
    """What is added to every event, ours or a library's."""

    def stamp(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = datetime.now(UTC)
        event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.StackInfoRenderer(),
    ]


def _pretty_renderer(redactor: Redactor, *, colors: bool) -> list[Processor]:
    def as_line(_logger: Any, _method: str, text: Any) -> bytes:
        return _clean(f"{redactor.text(str(text))}\n").encode()

    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback), as_line]


def _json_renderer(redactor: Redactor) -> list[Processor]:
    def render(_logger: Any, _method: str, event: EventDict) -> bytes:
        if "message" in event:  # a field of this name steps aside: the event's name is the message
            event["detail"] = event.pop("message")
        fields = {"message": event.pop("event", ""), **event}
        try:
            line = orjson.dumps(fields, default=repr, option=_JSON)
        except TypeError:  # lone surrogates, huge numbers, circles: everything as text then
            fields = {_clean(name): _clean(value) for name, value in fields.items()}
            line = orjson.dumps(fields, option=_JSON)
        return redactor.line(line, fields) or line

    # Local variables of a failing frame hold keys, addresses and prompts.
    return [structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)), render]


def _clean(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _as_text(_logger: Any, _method: str, line: Any) -> str:
    """For `logging`, whose handler ends the line itself."""
    return str(line, "utf-8").removesuffix("\n")
