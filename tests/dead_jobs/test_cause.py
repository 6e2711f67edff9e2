"""What a dead job tells of an error: enough to mend it, and nothing that must not be told."""

from collections.abc import Callable
from typing import Any

import pytest

from roadmap.dead_jobs.cause import TRACEBACK_LIMIT, death_of
from roadmap.dead_jobs.model import Death
from roadmap.errors import Outage, Unusable
from roadmap.ids import Prefix, parse_id
from roadmap.redaction import Redactor
from roadmap.roadmaps.model import Structure, Wishes
from roadmap.runs import policy


def caught(work: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011  whatever it is
        work()
    return info.value


def bug(work: Callable[[], Any]) -> Death:
    return death_of(Redactor(), policy.internal(caught(work)), "draft")


def test_the_same_bug_has_the_same_fingerprint_whatever_the_values_were() -> None:
    first = bug(lambda: Wishes.load("Learn", {"size": "huge"}))
    second = bug(lambda: Wishes.load("Learn", {"size": "tiny"}))
    assert first.traceback != second.traceback
    assert first.fingerprint == second.fingerprint


def test_another_place_class_function_kind_or_code_is_another_fingerprint() -> None:
    error = policy.internal(caught(lambda: Wishes.load("Learn", {"size": "huge"})))
    deaths = [
        death_of(Redactor(), error, "draft"),
        death_of(Redactor(), error, "write_concept", "quiz"),
        death_of(Redactor(), error, "write_concept", "tutorial"),
        bug(lambda: Structure.load({})),
        bug(lambda: parse_id(Prefix.RUN, "run_1").hex),
        bug(lambda: {}["size"]),
        death_of(Redactor(), Unusable("model_refused", "no"), "draft"),
        death_of(Redactor(), Unusable("model_empty", "no"), "draft"),
    ]
    assert len({death.fingerprint for death in deaths}) == len(deaths)


def test_what_the_model_did_wrong_is_one_group_wherever_it_was_noticed() -> None:
    def elsewhere() -> None:
        raise Unusable("model_refused", "the model refused")

    raised = death_of(Redactor(), caught(elsewhere), "draft")
    assert raised.fingerprint == death_of(Redactor(), Unusable("model_refused", "not today"), "draft").fingerprint
    assert (raised.code, raised.error_class, raised.message) == ("model_refused", "Unusable", "the model refused")


def test_of_a_chain_the_first_cause_is_named_and_all_of_it_is_in_the_traceback() -> None:
    def fetch() -> None:
        raise Outage("the provider does not answer") from caught(connect)

    def connect() -> None:
        raise ConnectionResetError("gone")

    outage = caught(fetch)
    assert isinstance(outage, Outage)
    late = policy._because(outage, Unusable("provider_unavailable", "for more than 24 hours"))
    death = death_of(Redactor(), late, "draft")
    assert (death.code, death.error_class) == ("provider_unavailable", "ConnectionResetError")
    assert death.message == "for more than 24 hours"
    assert death.traceback is not None
    assert death.traceback.index("ConnectionResetError: gone") < death.traceback.index("Outage: the provider")


def test_of_a_group_the_first_error_stands_for_all() -> None:
    inner = caught(lambda: {}["size"])
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("inner", [inner])])
    assert death_of(Redactor(), policy.internal(group), "draft").error_class == "KeyError"


def test_an_error_that_was_never_raised_has_no_traceback() -> None:
    assert death_of(Redactor(), policy.worker_died(3), "draft").traceback is None


def test_local_variables_and_secrets_stay_out_and_what_postgresql_refuses_is_replaced() -> None:
    def connect() -> None:
        password = "of-a-variable"
        raise RuntimeError(
            f"postgresql://app:hunter2@db/roadmap Bearer abc.def rk_{'A' * 40} sk-{'b' * 30} \x00 \ud800", len(password)
        )

    text = bug(connect).traceback
    assert text is not None
    assert "RuntimeError" in text
    assert "://***@db/roadmap" in text
    for secret in ("hunter2", "abc.def", "A" * 40, "b" * 30, "\x00"):
        assert secret not in text
    text.encode()


def test_a_traceback_keeps_its_beginning_and_its_end() -> None:
    def shout() -> None:
        raise RuntimeError("x" * 100_000 + "the end")

    text = bug(shout).traceback
    assert text is not None
    assert len(text) <= TRACEBACK_LIMIT
    assert "in shout" in text
    assert text.rstrip().endswith("the end")


def test_a_bug_beyond_the_borders_is_told_without_its_message() -> None:
    death = death_of(Redactor(), caught(lambda: {}["size"]), "draft")
    assert (death.code, death.error_class, death.message) == ("internal", "KeyError", "an internal error (KeyError)")
