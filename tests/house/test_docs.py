"""What operators read is true: links lead somewhere, commands, variables, log events and metrics exist."""

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from project_code import ROOT, our_modules
from pydantic import AliasChoices, SecretStr

from roadmap.cli.main import _parser
from roadmap.monitor.advice import ADVICE
from roadmap.runtime import needed_connections
from roadmap.settings import Settings
from roadmap.web.pages.routes import PAGES
from roadmap.web.routes import OPERATIONS

# Decisions, the changelog and the house's own page speak of code; the others speak to operators.
FOR_OPERATORS = ("README.md", "docs/*.md", "docs/deploy/*.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)|<(?:img|source|a)\s[^>]*?(?:src|srcset|href)=\"([^\"]+)\"")
RUNBOOK = re.compile(r"docs/troubleshooting\.md#[\w-]+")

# A command line of ours where a command may stand, up to what a shell takes for itself.
COMMAND = re.compile(
    r"""(?:^|[$#(|"] ?|&& |; |exec (?:\w+ )?|\brun roadmap |\brun |bin/|\| )roadmap((?: +[^\s`|;&<>#()\\"…]+)+)""",
    re.MULTILINE,
)
# The image's entrypoint is `roadmap`, so that these name a command of ours.
IN_A_CONTAINER = re.compile(
    r"(?:compose run(?: -\S+)* \S+|(?:podman|docker) .*?run .*?(?<= )roadmap)((?: [a-z-]+| --[a-z-]+)+)"
)
VARIABLE = re.compile(r"(?<![\w$.{-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_\*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{4,}(?==))")
FOREIGN = {
    "SERVICE_TYPE": "read by `roadmap start`, before any settings",
    "WEB_CONCURRENCY": "a host's word for processes in one container, which we refuse",
    "POSTGRES_PASSWORD": "compose.yaml gives it to PostgreSQL's image",
    "ROADMAP_POSTGRES_BIN": "of `roadmap dev` and `demo`, which bring servers of their own",
    "PATH": "the shell's",
    "GOAL": "of `make demo`",
    "SOAK_SECONDS": "of `make faults`",
    "SOAK_SEED": "of `make faults`",
}
FOREIGN_FAMILIES = {"RAILWAY_": "set by Railway", "RAILPACK_": "read by Railway's builder"}

EVENT = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
METRIC = re.compile(r"(?<!{)\b(?:roadmap|http_server|db_client|gen_ai)_[a-z_]+\b")
ADDRESS = re.compile(
    r"(?<![\w.}])(?:/(?:v1|monitor)(?:/[\w{}…-]+)*|/(?:health|ready|metrics|wake|openapi\.json))(?![\w-])"
)
PREFIXES = {"/v1", "/v1/admin"}
PROBES = {"/health", "/ready", "/metrics", "/openapi.json", "/wake"}
LOUD = {"warning", "error", "exception", "critical"}
# Snake case in the page on troubleshooting that our code does not say.
NOT_OURS = {
    "max_connections": "PostgreSQL's",
    "pg_stat_activity": "PostgreSQL's",
    "transaction_timeout": "PostgreSQL's",
    "log_dead_letters": "a table",
}


def documents(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def all_documents() -> list[Path]:
    return documents("*.md", "docs/**/*.md")


def prose(text: str) -> str:
    """Without fenced blocks, whose `#` and brackets are no headings and no links."""
    return FENCED.sub("", text)


def code(text: str) -> Iterator[str]:
    """Fenced blocks, then what stands between backticks."""
    yield from (block[1] for block in FENCED.findall(text))
    yield from INLINE.findall(prose(text))


# --- links ---------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(n for n in range(100) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def find_dead_links(path: Path, text: str) -> list[str]:
    targets = [one or other for one, other in LINK.findall(prose(text))]
    return [f"{path.relative_to(ROOT)}: {target}" for target in targets if not leads_somewhere(path, target)]


def leads_somewhere(path: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True  # the outside is not ours to hold
    place, _, anchor = target.partition("#")
    goal = (path.parent / place).resolve() if place else path
    if not goal.exists() or not goal.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(goal.read_text(encoding="utf-8"))


def test_every_link_leads_to_a_file_and_a_heading_that_exist() -> None:
    page = ROOT / "docs" / "page.md"
    text = (
        "# A `b`, c\n[x](#a-b-c) [y](../README.md#settings) [z](https://x.example/y)\n```\n# no heading\n[n](no)\n```\n"
    )
    assert anchors(text) == {"a-b-c"}
    assert find_dead_links(ROOT / "README.md", "[x](gone.md) [y](README.md#no-such) ![z](docs/none.png)") != []
    assert len(find_dead_links(page, text + "[n](#no-heading) [m](gone.md)")) == 3  # the page itself is none
    dead = [link for path in all_documents() for link in find_dead_links(path, path.read_text(encoding="utf-8"))]
    assert dead == []


def test_every_runbook_of_an_alert_is_a_heading() -> None:
    named = RUNBOOK.findall((ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8"))
    known = anchors((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [one for one in named if one.partition("#")[2] not in known] == []


def test_every_document_for_operators_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / one).resolve() for one, _ in LINK.findall(index.read_text(encoding="utf-8"))}
    assert [path.name for path in documents("docs/*.md", "docs/deploy/*.md") if path not in {index, *linked}] == []


# --- commands ------------------------------------------------------------------------------------------------------


def find_bad_commands(text: str) -> list[str]:
    lines = [line for block in code(text) for line in block.splitlines()]
    named = [found for line in lines for found in (*COMMAND.findall(line), *IN_A_CONTAINER.findall(line))]
    return [f"roadmap{words}" for words in named if not is_a_command(_parser(), words.split())]


def is_a_command(parser: argparse.ArgumentParser, words: list[str]) -> bool:
    """Whether each command is one, and each option is one of its command; values may be anything."""
    for place, word in enumerate(words):
        inner = subcommands(parser)
        if word.startswith("-"):
            if word.partition("=")[0] not in options(parser):
                return False
        elif inner:
            return word in inner and is_a_command(inner[word], words[place + 1 :])
    return True


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def test_every_command_that_a_document_names_exists_with_its_options() -> None:
    fine = "`roadmap`, `roadmap migrate --status`\n```console\n$ roadmap keys create --email a@b.example | wc\n```\n"
    assert (
        find_bad_commands(fine + "a roadmap of nothing, `create roadmap now`, `podman run -e A=b roadmap check`") == []
    )
    wrong = "`roadmap fly` `roadmap web --wings` `roadmap keys make` `docker compose run --rm web fly`"
    assert len(find_bad_commands(wrong)) == 4
    found = {path.name: find_bad_commands(path.read_text(encoding="utf-8")) for path in all_documents()}
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in subcommands(_parser()) if f"roadmap {name}" not in readme] == []


# --- variables -----------------------------------------------------------------------------------------------------


@cache
def variables() -> frozenset[str]:
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        given = [str(one).upper() for one in (alias.choices if isinstance(alias, AliasChoices) else [name])]
        secret = field.annotation is SecretStr
        names |= {*given, *(f"{one}_FILE" for one in given if secret)}
    return frozenset(names)


def find_unknown_variables(text: str) -> list[str]:
    named = {name for block in code(text) for name in VARIABLE.findall(block)}
    return sorted(name for name in named if not is_variable(name))


def is_variable(name: str) -> bool:
    if name.endswith("_*"):  # a family: DB_POOL_*
        return any(known.startswith(name.removesuffix("*")) for known in variables())
    return name in variables() or name in FOREIGN or name.startswith(tuple(FOREIGN_FAMILIES))


def test_every_variable_that_a_document_names_is_a_setting() -> None:
    assert find_unknown_variables("`DATABASE_URL_FILE=/x`, `DB_POOL_*`, `OPENAI_API_KEY`, NOT_IN_CODE") == []
    assert find_unknown_variables("```\nWINGS=2\nNO_SUCH=1\n```\n`LLM_MODEL_FILE`") == [
        "LLM_MODEL_FILE",
        "NO_SUCH",
        "WINGS",
    ]
    found = {path.name: find_unknown_variables(path.read_text(encoding="utf-8")) for path in documents(*FOR_OPERATORS)}
    assert {name: unknown for name, unknown in found.items() if unknown} == {}


def test_the_worked_examples_of_the_connection_budget_are_what_a_process_counts() -> None:
    page = (ROOT / "docs" / "deploy" / "choosing.md").read_text(encoding="utf-8")
    pair = r"(\d+) × (\d+)"
    rows = re.findall(rf"\| {pair} \| {pair} \| {pair} \| (\d+) \|", page)
    assert len(rows) > 2
    for *figures, connections in rows:
        names = [f"{what}_{process}" for process in ("web", "content", "logs") for what in ("replicas", "db_pool")]
        assert needed_connections(Settings(**dict(zip(names, map(int, figures), strict=True)))) == int(connections)


# --- log events and metrics ----------------------------------------------------------------------------------------


@cache
def said_in_code() -> frozenset[str]:
    """Every text constant of the source: events, codes, functions' and columns' names."""
    nodes = [node for module in our_modules() for node in ast.walk(module.tree)]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(texts | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)})


def loud_events() -> dict[str, str]:
    """What the processes of a deployment log as a warning or worse, with its place."""
    found: dict[str, str] = {}
    for module in our_modules():
        for node in ast.walk(module.tree) if not module.name.startswith("roadmap.embedded") else ():
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=attr), args=[ast.Constant(value=str(event)), *_]
                ) if attr in LOUD:
                    found[event] = module.at(node, attr)
    return found


def test_every_event_and_code_of_the_troubleshooting_page_is_said_by_the_source() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    named = {span for span in INLINE.findall(prose(page)) if EVENT.fullmatch(span) and not METRIC.fullmatch(span)}
    assert len(named) > 20
    assert sorted(named - said_in_code() - NOT_OURS.keys()) == []


def test_every_warning_and_error_of_the_source_is_on_the_troubleshooting_page() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    loud = loud_events()
    assert len(loud) > 30
    missing = [f"{event} ({place})" for event, place in loud.items() if f"`{event}`" not in page]
    assert missing == [], "say in docs/troubleshooting.md what it means and what to do"


def test_every_last_line_of_a_process_on_the_troubleshooting_page_is_said_by_the_source() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("| line | do |")[2].partition("\n## ")[0]
    said = "\n".join(module.text for module in our_modules()).replace("`", "")
    lines = [span for row in table.splitlines() for span in INLINE.findall(row.partition(" | ")[0])]
    assert len(lines) > 8
    assert [line for line in lines for part in re.split("…", line) if part.strip() not in said] == []


def test_every_address_that_a_document_names_exists() -> None:
    known = {operation.path for operation in OPERATIONS} | {page.path for page in PAGES} | PROBES | PREFIXES
    named = {
        address
        for path in documents(*FOR_OPERATORS)
        for block in code(path.read_text(encoding="utf-8"))
        for address in ADDRESS.findall(block)
    }
    assert len(named) > 20
    assert sorted(one for one in named if not any(re.fullmatch(in_form(path), one) for path in known)) == []


def in_form(path: str) -> str:
    """`/v1/runs/{run_id}` also for `/v1/runs/run_…` and `/v1/runs/{id}`."""
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))


def test_every_code_with_which_work_is_given_up_is_on_the_troubleshooting_page() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    raised = re.compile(r"""\b(?:Unusable|Wrong)\(\s*"(\w+)\"""")
    codes = {code for module in our_modules() for code in raised.findall(module.text)}
    assert len(codes) > 10
    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def test_every_metric_that_a_document_names_is_in_the_page_on_metrics() -> None:
    known = set(METRIC.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
    pages = [path for path in documents(*FOR_OPERATORS) if path.name != "metrics.md"]
    named = {
        name for path in pages for block in code(path.read_text(encoding="utf-8")) for name in METRIC.findall(block)
    }
    assert known
    assert sorted(name for name in named if name not in known) == []


def test_the_monitor_advises_about_every_code_that_the_page_on_troubleshooting_explains() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    table = page[page.index("\n## Dead jobs\n") : page.index("\n## The provider\n")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {code for row in rows for code in INLINE.findall(row)} == set(ADVICE)
