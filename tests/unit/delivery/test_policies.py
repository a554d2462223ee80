"""`Retry`, `Policy`, `Topics`: checked where they are written, joined where two handlers share a group."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery import Policy, Retry, Topics, exponential
from eventbus.errors import ConfigurationError
from eventbus.events import Event, Flat, Topic


class Happened(Event, topic="happenings"):
    pass


def test_a_retry_has_documented_defaults_and_keeps_its_delays_as_a_tuple():
    """A list that is changed later changes nothing."""
    delays = [1, 2]
    retry = Retry(attempts=3, backoff=delays)
    delays.append(3)
    assert (retry.attempts, retry.backoff, retry.jitter) == (3, (1, 2), 0.2)
    assert Retry() == Retry(attempts=5, backoff=(1.0, 5.0, 30.0, 120.0), jitter=0.2)


@pytest.mark.parametrize("value", [{"attempts": 1}, {"backoff": [0]}, {"backoff": (0.5,)}, {"jitter": 0}, {"jitter": 1}])
def test_the_bounds_of_a_retry_belong_to_it(value):
    """One attempt, no delay, no jitter, or all of it."""
    assert Retry(**value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("attempts", value) for value in (0, -1, 1.0, True, "3", None)),
        *(("backoff", value) for value in ([], (), "12", b"12", 5, None, [1, -1], [float("inf")], [float("nan")], ["1"], [True], {1})),
        *(("backoff", value) for value in (exponential, lambda attempt: 1)),
        *(("jitter", value) for value in (-0.1, 1.1, float("nan"), "0.2", True, None)),
        *(
            (name, value)
            for name in ("on", "never_on")
            for value in ("TimeoutError", (ValueError, "KeyError"), [int], ValueError("x"), None, object)
        ),
    ],
)
def test_a_wrong_retry_names_its_argument(name, value):
    """Where it is written, not when the first handler fails."""
    with pytest.raises(ConfigurationError, match=rf"Retry\({name}="):
        Retry(**{name: value})


def test_the_errors_of_a_retry_may_be_one_several_or_a_list():
    """As `except` and `isinstance` take them, and as settings files have them."""
    assert Retry(on=OSError, never_on=[KeyError, ValueError]) == Retry(on=(OSError,), never_on=(KeyError, ValueError))


@pytest.mark.parametrize(
    ("retry", "error", "covered"),
    [
        (Retry(), RuntimeError(), True),
        (Retry(), TimeoutError(), True),
        (Retry(on=()), RuntimeError(), False),
        (Retry(on=OSError), ConnectionResetError(), True),
        (Retry(on=OSError), KeyError(), False),
        (Retry(never_on=OSError), ConnectionResetError(), False),
        (Retry(on=ConnectionResetError, never_on=OSError), ConnectionResetError(), False),
        (Retry(on=OSError), asyncio.CancelledError(), True),  # the handler's own: no Exception, so nobody names it by accident
        (Retry(never_on=asyncio.CancelledError), asyncio.CancelledError(), False),
        (Retry(never_on=Exception), GeneratorExit(), True),
    ],
)
def test_a_policy_says_which_errors_are_retried(retry, error, covered):
    """`never_on` goes before `on`; what is no Exception is retried unless it is named."""
    assert retry.covers(error) is covered


@given(
    delays=st.lists(st.floats(0, 10_000), min_size=1, max_size=6),
    attempt=st.integers(1, 1000),
    jitter=st.floats(0, 1),
    chance=st.floats(0, 1),
)
def test_a_listed_delay_varies_by_its_jitter_and_the_last_one_repeats(delays, attempt, jitter, chance):
    """Never below nothing."""
    retry = Retry(backoff=delays, jitter=jitter)
    expected = delays[min(attempt, len(delays)) - 1]
    assert retry.delay(attempt, chance=0.5) == pytest.approx(expected)
    assert retry.delay(attempt, chance=0) == pytest.approx(expected * (1 - jitter))
    assert retry.delay(attempt, chance=1) == pytest.approx(expected * (1 + jitter))
    for delay in (retry.delay(attempt), retry.delay(attempt, chance=chance)):
        assert delay >= 0
        assert expected * (1 - jitter) - 1e-6 <= delay <= expected * (1 + jitter) + 1e-6


@given(first=st.floats(0.001, 1000), factor=st.floats(1, 1000), most=st.floats(0.001, 100_000), attempt=st.integers(1, 100_000))
def test_exponential_delays_grow_by_the_factor_up_to_the_most(first, factor, most, attempt):
    """However often it failed: nothing overflows."""
    backoff = exponential(first, factor=factor, most=most)
    assert backoff(1) == min(first, most)
    assert backoff(attempt) <= backoff(attempt + 1) <= most
    if backoff(attempt + 1) < most:
        assert backoff(attempt + 1) == pytest.approx(backoff(attempt) * factor)


def test_exponential_delays_have_documented_defaults():
    """From a second, doubled, to five minutes."""
    assert [exponential()(attempt) for attempt in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]


def test_delays_of_events_that_failed_together_differ():
    """Else they fail together again."""
    assert len({Retry().delay(1) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    "arguments",
    [
        *({"first": value} for value in (0, -1, float("inf"), float("nan"), "1", True, None, 10**400)),
        *({"most": value} for value in (0, -1, float("inf"), "1", None)),
        *({"factor": value} for value in (0, 0.99, float("inf"), float("nan"), "2", None)),
    ],
)
def test_wrong_exponential_delays_are_refused(arguments):
    """Where they are written."""
    with pytest.raises(ConfigurationError, match=r"exponential\("):
        exponential(**arguments)


@pytest.mark.parametrize("start", ["earliest", "latest", "0", "1700000000000", "1700000000000-0", f"{(1 << 64) - 1}-{(1 << 64) - 1}"])
def test_a_policy_takes_every_documented_start(start):
    """Words, or an entry's id."""
    assert Policy(start=start).start == start


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("start", value) for value in ("", "now", "$", "-", "1-2-3", "0-", " 0", "0\n", 0, [], ["0"], {}, b"0")),
        *(("start", value) for value in ("\uff11\uff17", f"{1 << 64}", f"1-{1 << 64}", "9" * 20, "0" * 21)),
        *((name, value) for name in ("concurrency", "prefetch") for value in (0, -1, 1.5, "4", True)),
        *(("timeout", value) for value in (0, -1, float("inf"), float("nan"), "3", True, 10**400)),
        ("retry", 3),
        ("retry", {"attempts": 3}),
        ("foreign", Happened),
        ("foreign", True),
    ],
)
def test_a_wrong_policy_names_its_argument_and_value(name, value):
    """At the decorator, which is where it is written."""
    with pytest.raises(ConfigurationError) as caught:
        Policy(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}")


WHOLE = Policy(start="latest", concurrency=2, prefetch=4, retry=Retry(attempts=2), timeout=9, foreign=Flat(Happened))


def test_each_of_two_policies_may_say_what_the_other_leaves_open():
    """Handlers of one subscription need not repeat each other."""
    one, two = Policy(start="latest", concurrency=2), Policy(prefetch=4, retry=Retry(attempts=2), timeout=9, foreign=Flat(Happened))
    assert one.merged(two, "here") == two.merged(one, "here") == WHOLE
    assert WHOLE.merged(WHOLE, "here") == WHOLE


@pytest.mark.parametrize(
    ("name", "other"),
    [("start", "earliest"), ("concurrency", 3), ("prefetch", 5), ("retry", Retry()), ("timeout", 8), ("foreign", Flat(Event))],
)
def test_two_policies_that_differ_are_refused_with_both_values(name, other):
    """Neither wins by the order of imports."""
    with pytest.raises(ConfigurationError) as caught:
        WHOLE.merged(Policy(**{name: other}), "group 'g' on topic 't'")
    message = str(caught.value)
    assert message.startswith("group 'g' on topic 't': ")
    assert f"{name}={getattr(WHOLE, name)!r}" in message
    assert f"{name}={other!r}" in message


def test_a_plain_name_agrees_with_every_declaration_of_its_topic():
    """In both orders; the declaration holds from then on."""
    limited = Topic("orders", max_len=10)
    first, second = Topics(), Topics()
    assert [first.register(topic) for topic in ("orders", limited, "orders")] == [Topic("orders"), limited, limited]
    assert [second.register(topic) for topic in (limited, "orders", limited)] == [limited] * 3


def test_two_declarations_that_differ_are_refused_with_both():
    """Which one held would depend on which was read first."""
    topics = Topics()
    topics.register(Topic("orders", max_len=10))
    with pytest.raises(ConfigurationError, match=r"max_len=10.*max_len=20"):
        topics.register(Topic("orders", max_len=20))
    assert topics.register("orders") == Topic("orders", max_len=10)
