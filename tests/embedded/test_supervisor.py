"""The supervisor of `roadmap dev`: output, readiness, restarts, and every way to end."""

import asyncio
import io
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from process_table import lives, until

from roadmap.embedded.output import prefix_lines, write_files
from roadmap.embedded.supervisor import Supervisor, parse_procfile
from roadmap.errors import Misconfigured

HERE = Path(__file__).parent
CHILD = str(HERE / "children.py")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_children_become_ready_and_their_lines_carry_their_names() -> None:
    stream = io.StringIO()
    async with supervised(stream, web=["steady"], content=["steady"]) as supervisor:
        assert await supervisor.ready(20)
    lines = stream.getvalue().splitlines()
    assert 'web     | {"message": "worker_ready"}' in lines
    assert 'content | {"message": "worker_ready"}' in lines
    assert await supervisor.wait() == 0


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    stream = io.StringIO()
    async with supervised(stream, web=["dies_once", str(tmp_path / "died")]) as supervisor:
        assert await supervisor.ready(20)
    assert stream.getvalue().count("dies_once begins") == 2


async def test_a_killed_child_is_started_again() -> None:
    stream = io.StringIO()
    async with supervised(stream, web=["steady"]) as supervisor:
        assert await supervisor.ready(20)
        os.kill(pids_in(stream.getvalue())[0], signal.SIGKILL)
        await until(lambda: stream.getvalue().count("worker_ready") == 2)


async def test_a_misconfigured_child_ends_everything_with_its_code() -> None:
    stream = io.StringIO()
    async with supervised(stream, web=["misconfigured"], content=["steady"]) as supervisor:
        assert not await supervisor.ready(20)
        assert await supervisor.wait() == 2
    assert stream.getvalue().count("misconfigured begins") == 1
    assert not any(map(lives, pids_in(stream.getvalue())))


async def test_a_program_that_is_not_there_is_named() -> None:
    stream = io.StringIO()
    async with Supervisor({"web": ["no-such-program"]}, {}, show=prefix_lines(["web"], stream)):
        await until(lambda: "cannot start no-such-program" in stream.getvalue())


async def test_the_environments_own_commands_are_found_without_activating_it() -> None:
    stream = io.StringIO()
    command = [Path(sys.executable).name, "-c", "import roadmap, os; print('found by', os.environ['WHO'])"]
    async with Supervisor({"web": command}, {"WHO": "name"}, show=prefix_lines(["web"], stream)):
        await until(lambda: "found by name" in stream.getvalue())


async def test_a_child_may_have_variables_of_its_own() -> None:
    stream = io.StringIO()
    command = [sys.executable, "-c", "import os; print('port', os.environ['PORT'])"]
    commands, own = {"web": command, "logs": command}, {"web": {"PORT": "8000"}}
    async with Supervisor(commands, {"PORT": "0"}, own=own, show=prefix_lines(commands, stream)):
        await until(lambda: "port 8000" in stream.getvalue() and "port 0" in stream.getvalue())


async def test_readiness_gives_up_in_time() -> None:
    commands = {"web": [sys.executable, "-c", "import time; time.sleep(60)"]}
    async with Supervisor(commands, os.environ, show=prefix_lines(["web"], io.StringIO())) as supervisor:
        assert not await supervisor.ready(0.1)


async def test_a_line_of_any_length_is_shown_whole() -> None:
    stream = io.StringIO()
    async with supervised(stream, web=["long"]) as supervisor:
        assert await supervisor.ready(20)
    assert f"web | {'x' * 200_000}\n" in stream.getvalue()


def test_names_are_coloured_on_a_terminal_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    prefix_lines(["web"], terminal)("web", "hello")
    prefix_lines(["web"], file)("web", "hello")
    assert terminal.getvalue() == "\033[36mweb | \033[0mhello\n"
    assert file.getvalue() == "web | hello\n"


async def test_output_may_go_to_a_file_per_process(tmp_path: Path) -> None:
    with write_files(tmp_path / "logs", ["web"]) as show:
        async with Supervisor(commands_of(web=["steady"]), os.environ, show=show) as supervisor:
            assert await supervisor.ready(20)
    assert "worker_ready" in (tmp_path / "logs" / "web.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_all_children_and_then_us_with_0(number: signal.Signals) -> None:
    process, children = await start_script("steady", "long")
    for _ in range(3):
        process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert not any(map(lives, children))


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    process, children = await start_script("steady", "stubborn")
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert not any(map(lives, children))


async def test_children_die_with_a_killed_supervisor() -> None:
    process, children = await start_script("steady", "long")
    process.kill()
    await process.wait()
    await until(lambda: not any(map(lives, children)))


def test_a_procfile_becomes_commands_in_its_order() -> None:
    text = "# processes\nweb: roadmap web\n\ncontent: roadmap content --name 'a b'\n"
    assert parse_procfile(text) == {"web": ["roadmap", "web"], "content": ["roadmap", "content", "--name", "a b"]}
    assert list(parse_procfile("b: x\na: y")) == ["b", "a"]
    assert parse_procfile("web: exec roadmap web") == {"web": ["roadmap", "web"]}


@pytest.mark.parametrize("line", ["roadmap web", "web:", "web: exec", ": roadmap web", "web: 'roadmap"])
def test_a_procfile_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(Misconfigured, match="line 2"):
        parse_procfile(f"ok: true\n{line}\n")


def commands_of(**behaviours: list[str]) -> dict[str, list[str]]:
    return {name: [sys.executable, CHILD, *arguments] for name, arguments in behaviours.items()}


@asynccontextmanager
async def supervised(stream: io.StringIO, **behaviours: list[str]) -> AsyncIterator[Supervisor]:
    show = prefix_lines(list(behaviours), stream)
    async with Supervisor(commands_of(**behaviours), os.environ, show=show, grace=5) as supervisor:
        yield supervisor


async def start_script(*behaviours: str) -> tuple[Process, list[int]]:
    """A supervising process, once its children are ready, and their process ids."""
    script = str(HERE / "supervise.py")
    process = await asyncio.create_subprocess_exec(sys.executable, script, *behaviours, stdout=PIPE, limit=1_000_000)
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(30):
        while "all ready" not in shown:
            line = await process.stdout.readline()
            assert line, f"ended with {shown[-500:]}"
            shown += line.decode()
    return process, pids_in(shown)


def pids_in(shown: str) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in shown.splitlines() if " begins in " in line]
