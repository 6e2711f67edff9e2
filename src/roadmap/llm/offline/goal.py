"""What a goal's own words say about the learner's level and time, in English and Chinese."""

import re

__all__ = ["read_hours_per_week", "read_level", "read_weeks"]

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: number for number, word in enumerate(_DIGITS)} | {
    "a": 1, "an": 1, "couple of": 2, "a couple of": 2, "half an": 0.5, "half a": 0.5, "fifteen": 15, "twenty": 20,
    "thirty": 30, "forty": 40, "sixty": 60, "ninety": 90, "hundred": 100, "a hundred": 100,
    "半": 0.5, "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
}  # fmt: skip
_WORDS = "|".join(sorted((word for word in _NUMBERS if word.isascii()), key=len, reverse=True))
_EN = rf"(?P<number>\d{{1,4}}(?:\.\d)?|\b(?:{_WORDS})\b)"
_ZH = r"(?P<number>\d{1,4}(?:\.\d)?|半|[一两二三四五六七八九十]{1,3})"

_DAYS = {"day": 1, "week": 7, "fortnight": 14, "month": 365 / 12, "quarter": 365 / 4, "year": 365}
_DAYS_ZH = {"天": 1, "日": 1, "周": 7, "星期": 7, "礼拜": 7, "月": 365 / 12, "年": 365}
_PERIOD = re.compile(rf"{_EN}[\s-]*(?P<unit>day|week|fortnight|month|quarter|year)s?\b")
_PERIOD_ZH = re.compile(rf"{_ZH}\s*个?\s*(?P<unit>天|日|周|星期|礼拜|月|年)(?!级)")

_EVERY = r"(?:(?:/|\s+(?:a|per|each|every)\s+)\s*(?P<per>day|night|week|wk|month)|\s+(?P<often>daily|weekly))"
_PACE = re.compile(rf"{_EN}[\s-]*(?P<unit>hours?|hrs?|h|minutes?|mins?)\b(?:\s+of\s+\w+)?\s*{_EVERY}")
_PACE_FIRST = re.compile(
    rf"(?:every|each|per)\s+(?P<per>day|night|week|month),?\s+(?:for\s+)?{_EN}[\s-]*(?P<unit>hours?|h|minutes?|mins?)\b"
)
_PACE_ZH = re.compile(
    r"(?P<per>每天|每日|一天|每晚|每周|每星期|每个星期|每礼拜|一周|一星期|每月|每个月)[^\d半一两二三四五六七八九十。，]{0,6}"
    rf"{_ZH}\s*(?:个)?\s*(?P<unit>小时|钟头|分钟)"
)
_TIMES_A_WEEK = {
    "day": 7.0,
    "daily": 7.0,
    "night": 7.0,
    "month": 12 / 52,
    "天": 7.0,
    "日": 7.0,
    "晚": 7.0,
    "月": 12 / 52,
}

_LEVELS = {
    "beginner": re.compile(
        r"\bbeginners?\b|\bnovice|from scratch|from zero|\bno (?:prior |previous )?(?:experience|knowledge)"
        r"|never (?:used|written|done|learn|studied|touch)|\bnew to\b|零基础|从零|入门|初学|新手|小白|没有基础|没学过"
    ),
    "advanced": re.compile(r"\badvanced\b|\bexperts?\b|\bmaster(?:y|ing)?\b|\bsenior\b|in depth|高级|精通|资深|专家"),
    "intermediate": re.compile(
        r"\bintermediate\b|some (?:experience|knowledge)|already (?:know|use|work|speak|write)|know the basics|years of"
        r"|\bimprove\b|\bdeepen\b|中级|进阶|有一定|有基础|有些经验|有经验|已经会|提高|深入"
    ),
}


def read_level(*texts: str) -> str:
    """The level that the words name, the lowest first where they name several; a beginner when they are silent."""
    text = "\n".join(texts).casefold()
    return next((level for level, words in _LEVELS.items() if words.search(text)), "beginner")


def read_weeks(goal: str) -> int | None:
    """Whole weeks, at least 1, when the goal names a period."""
    text = _without_pace(goal.casefold())
    for pattern, lengths in ((_PERIOD, _DAYS), (_PERIOD_ZH, _DAYS_ZH)):
        found = pattern.search(text)
        if found:
            weeks = round(_number(found["number"]) * lengths[found["unit"]] / 7)
            return min(520, max(1, weeks))
    return None


def read_hours_per_week(goal: str) -> int | None:
    """Whole hours, 1 to 168, when the goal names a pace."""
    text = goal.casefold()
    for pattern in (_PACE, _PACE_FIRST, _PACE_ZH):
        found = pattern.search(text)
        if found:
            share = 1 / 60 if found["unit"].startswith(("m", "分")) else 1.0
            return min(168, max(1, round(_number(found["number"]) * share * _times(found))))
    return None


def _times(found: re.Match[str]) -> float:
    said = found["per"] or found.groupdict().get("often") or ""
    return _TIMES_A_WEEK.get(said, _TIMES_A_WEEK.get(said[-1:], 1.0))


def _without_pace(text: str) -> str:
    """ "5 hours a week" names no period of one week."""
    for pattern in (_PACE, _PACE_FIRST, _PACE_ZH):
        text = pattern.sub(" ", text)
    return text


def _number(word: str) -> float:
    if word[0].isdigit():
        return float(word)
    if word in _NUMBERS:
        return _NUMBERS[word]
    tens, _, ones = word.partition("十")
    return _NUMBERS.get(tens, 1) * 10 + _NUMBERS.get(ones, 0)
