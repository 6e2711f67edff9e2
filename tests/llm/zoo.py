"""Malformed answers as models give them, each with what must come of it."""

from dataclasses import dataclass
from typing import Any

import orjson

PLAN: dict[str, Any] = {
    "title": "SQL in six weeks",
    "level": "beginner",
    "hours": 12.5,
    "concepts": [{"title": "SELECT", "minutes": 90}, {"title": "JOIN", "minutes": 120}],
}
GOOD = orjson.dumps(PLAN).decode()
INDENTED = orjson.dumps(PLAN, option=orjson.OPT_INDENT_2).decode()
WITHOUT_LEVEL = orjson.dumps({key: value for key, value in PLAN.items() if key != "level"}).decode()
YAML = "title: SQL in six weeks\nlevel: beginner\nhours: 12.5\nconcepts:\n  - title: SELECT\n    minutes: 90\n"


@dataclass(frozen=True, slots=True)
class Animal:
    """An answer and its fate: a code, or the plan with the given fields changed."""

    name: str
    text: str
    code: str | None = None
    changed: tuple[tuple[str, Any], ...] = ()
    finish_reason: str = "stop"
    refused: bool = False

    @property
    def value(self) -> dict[str, Any]:
        return {**PLAN, **dict(self.changed)}


def _with(title: str) -> str:
    """The plan with a title that is given as JSON source."""
    return GOOD.replace('"SQL in six weeks"', title)


def _nested(depth: int) -> str:
    return '{"title":' * depth + "1" + "}" * depth


READ_AS_THEY_ARE = [
    Animal("plain JSON", GOOD),
    Animal("indented, with line breaks around it", f"\n\n  {INDENTED}\n\n"),
    Animal("unknown finish reason", GOOD, finish_reason="eos"),
    Animal("no finish reason", GOOD, finish_reason=""),
    Animal("a number written with an exponent", GOOD.replace("12.5", "1.25e1")),
    Animal("a whole number for a float", GOOD.replace("12.5", "12"), changed=(("hours", 12.0),)),
    Animal("a think tag inside a string", _with('"The <think> tag"'), changed=(("title", "The <think> tag"),)),
    Animal(
        "a fence inside a string", _with('"```sql\\nSELECT 1\\n```"'), changed=(("title", "```sql\nSELECT 1\n```"),)
    ),
    Animal("braces inside a string", _with('"}{ ]["'), changed=(("title", "}{ ]["),)),
    Animal("an address inside a string", _with('"https://a.org, }"'), changed=(("title", "https://a.org, }"),)),
    Animal("an emoji as a pair of surrogates", _with('"\\ud83d\\ude00"'), changed=(("title", "😀"),)),
    Animal("Chinese", _with('"六周学会 SQL"'), changed=(("title", "六周学会 SQL"),)),
]

UNPACKED = [
    Animal("byte order mark", "\ufeff" + GOOD),
    Animal("fence with json", f"```json\n{INDENTED}\n```"),
    Animal("fence without a language", f"```\n{GOOD}\n```"),
    Animal("fence with another language", f"```javascript\n{GOOD}\n```"),
    Animal("fence in capitals, never closed", f"```JSON\n{GOOD}"),
    Animal("four backticks", f"````json\n{GOOD}\n````"),
    Animal("prose before", f"Sure! Here is the plan you asked for:\n\n{GOOD}"),
    Animal("prose after", f"{GOOD}\n\nLet me know if you want more {{detail}}!"),
    Animal("prose with a lone brace before", f"Objects start with a {{ and here it is: {GOOD}"),
    Animal("prose with quotes and apostrophes", f"It's \"the plan\", isn't it?\n{GOOD}\nThat's it."),
    Animal("two fences, the second is the answer", f'```json\n{{"title": "an example"}}\n```\n```json\n{GOOD}\n```'),
    Animal("two answers, the first counts", f"{GOOD}\n{GOOD.replace('six', 'two')}"),
    Animal("an empty object first", f"{{}}\n{GOOD}"),
    Animal("a list of tags first", f'["sql", "beginner"] {GOOD}'),
    Animal("think tags", f"<think>The learner wants SQL.</think>\n{GOOD}"),
    Animal("a draft inside the think tags", f"<think>{GOOD.replace('six', 'two')}</think>{GOOD}"),
    Animal("thinking tags in capitals", f"<THINKING>hm</THINKING>{GOOD}"),
    Animal("a closing think tag alone", f'I could say {{"title": "no"}} but no.</think>{GOOD}'),
    Animal("an opening think tag alone", f"<think>Easy. {GOOD}"),
    Animal("a think tag after the answer", f"{GOOD}<think>Was that right?</think>"),
    Animal("think tags, prose and a fence", f"<think>…</think>Here:\n```json\n{INDENTED}\n```\nGood luck!"),
    Animal("a list of one", f"[{GOOD}]"),
    Animal("under one more key", f'{{"result": {GOOD}}}'),
    Animal("under two more keys", f'{{"response": {{"plan": {GOOD}}}}}'),
    Animal("a list of one under a key", f'{{"plans": [{GOOD}]}}'),
    Animal("a string that holds JSON", orjson.dumps(GOOD).decode()),
    Animal("a string that holds a fence", orjson.dumps(f"```json\n{GOOD}\n```").decode()),
    Animal("a string of JSON under a key", orjson.dumps({"output": GOOD}).decode()),
]

MENDED = [
    Animal("trailing commas", GOOD.replace("]", ",]").replace("}", ",}")),
    Animal("a trailing comma, and one like it in a string", _with('"a,]"')[:-1] + ",}", changed=(("title", "a,]"),)),
    Animal("line comments", INDENTED.replace('"beginner",', '"beginner", // the learner\'s {level')),
    Animal("block comments", GOOD.replace('"hours"', '/* honest " hours */ "hours"')),
    Animal(
        "a comment, and an address", _with('"https://a.org"')[:-1] + "/* ok */}", changed=(("title", "https://a.org"),)
    ),
    Animal("single quotes", GOOD.replace('"', "'")),
    Animal("a Python dictionary", repr(PLAN)),
    Animal(
        "a Python dictionary with an address",
        repr({**PLAN, "title": "https://a.org"}),
        changed=(("title", "https://a.org"),),
    ),
    Animal("an escaped apostrophe", _with(r'"Ada\'s SQL"'), changed=(("title", "Ada's SQL"),)),
    Animal("LaTeX with single backslashes", _with(r'"\(x \cdot y\)"'), changed=(("title", r"\(x \cdot y\)"),)),
    Animal(
        "single quotes around double ones", _with("""'say "hi" \\ \\' '"""), changed=(("title", 'say "hi" \\ \' '),)
    ),
    Animal("smart quotes", GOOD.replace('"title"', "“title”").replace('"beginner"', "“beginner”")),
    Animal("keys without quotes", GOOD.replace('"title"', "title").replace('"hours"', "hours")),
    Animal("a missing comma", GOOD.replace(',"hours"', ' "hours"')),
    Animal("a line break inside a string", _with('"SQL\nnow"'), changed=(("title", "SQL\nnow"),)),
    Animal("a tab inside a string", _with('"SQL\tnow"'), changed=(("title", "SQL\tnow"),)),
    Animal("null characters", _with('"SQL\0 in six\0 weeks"')),
    Animal("escaped null characters", _with('"SQL\\u0000 in six weeks"')),
    Animal("a lone surrogate", _with('"SQL\\ud800 in six weeks"')),
    Animal("a lone surrogate as it is", _with('"SQL\udc00 in six weeks"')),
]

TO_BE_REPAIRED = [
    Animal("nothing", "", "model_empty"),
    Animal("white space", " \n\t ", "model_empty"),
    Animal("cut off", GOOD[:60], "model_truncated", finish_reason="length"),
    Animal("complete, but the limit was reached", GOOD, "model_truncated", finish_reason="length"),
    Animal("cut off while thinking", "<think>Let me", "model_truncated", finish_reason="length"),
    Animal("nothing but thoughts", "<think>SQL is easy.</think>", "model_malformed"),
    Animal("cut off without a word", GOOD[:-1], "model_malformed"),
    Animal("cut off in a string", GOOD[:14], "model_malformed"),
    Animal("cut off, with an inner object that is whole", f'{{"plan": {GOOD}, "note": "and', "model_malformed"),
    Animal("prose only", "I would start with SELECT and then JOIN.", "model_malformed"),
    Animal("YAML", YAML, "model_malformed"),
    Animal("YAML in a fence", f"```yaml\n{YAML}```", "model_malformed"),
    Animal("XML", "<plan><title>SQL</title></plan>", "model_malformed"),
    Animal("a Markdown list", "1. SELECT\n2. JOIN [docs](https://a.org)", "model_malformed"),
    Animal(
        "the schema instead of an answer",
        '{"type":"object","properties":{"title":{"type":"string"}}}',
        "model_malformed",
    ),
    Animal("null", "null", "model_malformed"),
    Animal("a number", "42", "model_malformed"),
    Animal("an empty object", "{}", "model_malformed"),
    Animal("an empty list", "[]", "model_malformed"),
    Animal("a list of two answers", f"[{GOOD},{GOOD}]", "model_malformed"),
    Animal("a missing field", WITHOUT_LEVEL, "model_malformed"),
    Animal("a field too many", GOOD[:-1] + ',"mood":"good"}', "model_malformed"),
    Animal("a word that is not in the set", GOOD.replace("beginner", "newbie"), "model_malformed"),
    Animal("a number as a string", GOOD.replace("90", '"90"'), "model_malformed"),
    Animal("a truth value for a number", GOOD.replace("90", "true"), "model_malformed"),
    Animal("stray quotes inside a string", _with('"say "hi" now"'), "model_malformed"),
    Animal("two strings where one should be", _with('"SQL" "now"'), "model_malformed"),
    Animal("a field left out with dots", GOOD.replace("12.5", "..."), "model_malformed"),
    Animal("a single quote inside single quotes", _with("'it's SQL'"), "model_malformed"),
    Animal("stray quotes by the thousand", '["a",' + '"x" y ' * 15_000 + "]", "model_malformed"),
    Animal("apostrophes by the thousand", "{'a':" + "'x'“{" * 15_000 + "}", "model_malformed"),
    Animal("NaN", GOOD.replace("12.5", "NaN"), "model_malformed"),
    Animal("Infinity", GOOD.replace("12.5", "-Infinity"), "model_malformed"),
    Animal("a number beyond all floats", GOOD.replace("12.5", "1e999"), "model_malformed"),
    Animal("an integer of 5,000 digits", GOOD.replace("90", "9" * 5000), "model_malformed"),
    Animal("an empty list of concepts", GOOD.split("[")[0] + "[]}", "model_malformed"),
    Animal("a null character for a title", _with('"\\u0000"'), "model_malformed"),
    Animal("half a surrogate and no more", "\ud800 SQL", "model_malformed"),
    Animal("100 levels deep", _nested(100), "model_malformed"),
    Animal("80,000 levels deep", _nested(80_000), "model_malformed"),
    Animal("braces without end", "{" * 300_000, "model_malformed"),
    Animal("keys without end", '{"a":' * 150_000, "model_malformed"),
    Animal("quotes without end", '{"a' + '\\"' * 400_000, "model_malformed"),
    Animal("think tags without end", "<think>" * 100_000, "model_malformed"),
    Animal("comments without end", "{ /*" + " /*" * 200_000 + "}", "model_malformed"),
    Animal("a hundred thousand small objects", '{"a":1} ' * 100_000, "model_malformed"),
]

HOPELESS = [
    Animal("more than a million characters", f"{GOOD}{' ' * 1_000_000}", "model_too_long"),
    Animal("a refusal", "", "model_refused", refused=True),
    Animal("a refusal beside an answer", GOOD, "model_refused", refused=True),
    Animal("a filter cut it", GOOD[:40], "model_refused", finish_reason="content_filter", refused=True),
]

ZOO = [*READ_AS_THEY_ARE, *UNPACKED, *MENDED, *TO_BE_REPAIRED, *HOPELESS]
