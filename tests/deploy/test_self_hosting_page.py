"""docs/deploy/self-hosting.md: its lines fit together, and fit the units."""

import re
import shutil
import subprocess

import pytest
from deployed import commands_in, read_page, read_unit

from roadmap.settings import Settings

PAGE = read_page("self-hosting.md")
COMMANDS = commands_in(PAGE)
CONTAINERS = [command for command in COMMANDS if re.match(r"(?:docker|podman)\b.* run ", command)]


def test_containers_on_the_host_s_network_have_a_port_each() -> None:
    for engine in ("docker", "podman"):
        serving = [command for command in CONTAINERS if command.startswith(engine) and "--detach" in command]
        assert all("--network host" in command for command in serving)
        found = [re.search(r"--name (\w+) .*--env PORT=(\d+) roadmap (\w+)$", command) for command in serving]
        assert [(one[1], one[3]) for one in found if one] == [(name, name) for name in ("web", "logs", "content")]
        assert len({one[2] for one in found if one}) == 3


def test_a_container_is_given_the_time_that_a_process_takes_to_end() -> None:
    grace = Settings.model_fields["shutdown_grace"].default
    times = [re.search(r"--stop-timeout (\d+)", command) for command in CONTAINERS if "--detach" in command]
    assert len(times) == 6
    assert all(one and int(one[1]) >= grace + 10 for one in times)


def test_where_there_is_no_systemd_podman_is_told_to_check_no_health() -> None:
    """Its health checks are timers of systemd: without one it complains, and the container is `starting` for ever."""
    podman = [command for command in CONTAINERS if command.startswith("podman")]
    assert len(podman) == 4
    assert all("--no-healthcheck" in command for command in podman)


def test_podman_restarts_at_boot_what_its_unit_starts() -> None:
    """`podman-restart.service` looks at this policy alone."""
    serving = [command for command in CONTAINERS if command.startswith("podman") and "--detach" in command]
    assert all("--restart always" in command for command in serving)


def test_commands_and_units_read_one_file_which_says_production() -> None:
    (block,) = re.findall(r"`roadmap\.env`, where .*?```\n(.*?)```", PAGE, re.DOTALL)
    assert "ENVIRONMENT=production\n" in block
    assert re.findall(r"[\"']", block) == [], "a container takes quotes as part of the value"
    files = {file for command in COMMANDS for file in re.findall(r"(?:EnvironmentFile=|--env-file )(\S+)", command)}
    assert files == {read_unit("roadmap@.service")["EnvironmentFile"][0]}


def test_every_program_that_is_used_is_installed_or_always_there() -> None:
    packages = {
        "git": "git",
        "python3": "python3-venv",
        "createuser": "postgresql",
        "createdb": "postgresql",
        "dropdb": "postgresql",
        "pg_dump": "postgresql",
        "pg_restore": "postgresql",
        "redis-cli": "redis-server",
        "openssl": "openssl",
    }
    installed = next(command for command in COMMANDS if command.startswith("apt install")).split()[2:]
    used = {program for program in packages if re.search(rf"(?:^|[\s`]){program} ", PAGE, re.MULTILINE)}
    assert {packages[program] for program in used} <= set(installed)
    assert "sudo" not in PAGE


@pytest.mark.skipif(shutil.which("systemd-run") is None, reason="no systemd")
def test_systemd_run_knows_every_option_that_the_page_gives_it() -> None:
    """Without a running systemd it gets as far as the bus, or says which option it does not know."""
    lines = [command.split() for command in COMMANDS if command.startswith("systemd-run")]
    assert len(lines) == 3
    for words in lines:
        options = words[: words.index("/opt/roadmap/bin/roadmap")]
        asked = subprocess.run([*options, "--help"], capture_output=True, check=False, text=True)
        assert (asked.returncode, asked.stderr) == (0, "")
