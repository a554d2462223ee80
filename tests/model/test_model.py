"""The delivery protocol, every state of it: it holds as it is built, and no rule of it can be left out."""

from dataclasses import fields, replace

import pytest

from tests.model.__main__ import main
from tests.model.cases import AS_BUILT, GAPS, RULES, SOUND
from tests.model.engine import explore
from tests.model.rules import Rules


@pytest.mark.parametrize("builder", SOUND, ids=lambda builder: builder().name)
def test_the_protocol_as_built_is_safe_and_can_always_finish(builder):
    verdict = explore(builder())

    assert verdict.holds, str(verdict)


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.rule)
def test_without_a_rule_a_promise_breaks(case):
    verdict = explore(case.switched(on=False))

    assert verdict.counterexample, f"nothing breaks: {verdict}"
    assert verdict.counterexample.property is case.breaks, str(verdict)


@pytest.mark.parametrize("case", GAPS, ids=lambda case: case.rule)
def test_a_known_gap_is_still_there(case):
    """Once it is closed: switch the rule on in `Rules`, and list it with the others."""
    verdict = explore(case.switched(on=False))

    assert verdict.counterexample, f"nothing breaks: {verdict}"
    assert verdict.counterexample.property is case.breaks, str(verdict)


@pytest.mark.parametrize("case", GAPS, ids=lambda case: case.rule)
def test_what_would_close_a_known_gap_closes_it(case):
    verdict = explore(case.switched(on=True))

    assert verdict.holds, str(verdict)


def test_nothing_breaks_where_a_rule_is_tried_as_long_as_it_is_on():
    assert {case.model for case in RULES} <= set(SOUND)


def test_every_switch_is_tried():
    built = {field.name for field in fields(Rules) if getattr(AS_BUILT, field.name)}

    assert {case.rule for case in RULES} == built
    assert {case.rule for case in GAPS} == {field.name for field in fields(Rules)} - built


def test_the_command_line_prints_the_trace_that_a_missing_rule_allows(capsys):
    assert main(["retire_only_empty"]) == 0

    printed = capsys.readouterr().out
    assert "a consumer is removed only in the step that saw it owe nothing" in printed
    assert "AN EVENT HAS A PLACE UNTIL IT IS HANDLED" in printed
    assert " 3. A retires the silent consumer and its row with it" in printed


def test_the_command_line_lists_the_rules(capsys):
    assert main(["--list"]) == 0

    printed = capsys.readouterr().out
    assert all(case.rule in printed and case.says in printed for case in (*RULES, *GAPS))


def test_a_rule_that_does_not_exist_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fenced_mouse"])

    assert "no rule is called fenced_mouse" in capsys.readouterr().err


def test_a_verdict_reads_as_it_is(capsys):
    case = next(case for case in RULES if case.rule == "unique_names")

    verdict = explore(case.model(replace(AS_BUILT, unique_names=False)))

    assert str(verdict).splitlines()[1:] == [
        "AN EVENT RUNS IN ONE PLACE AT A TIME: two handlers run it",
        "   1. A reads it from the topic; the reply is on its way",
        "   2. A parses the reply",
        "   3. A starts its handler",
        "   4. B recovers its own row, which it does not know",
        "   5. B starts its handler",
    ]
