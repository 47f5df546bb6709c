"""When to do a unit of work again: rules without a database."""

from datetime import timedelta
from typing import Any

import pytest

from repo import ConfigurationError, NotFound, Once, Retry, StaleData
from repo.errors import AfterCommitFailed, CommitOutcomeUnknown, Deadlock, SerializationFailure, TransactionFailed


@pytest.mark.parametrize(
    "error",
    [
        Deadlock("again"),
        TransactionFailed("because of a deadlock that was caught", retryable=True),
        ExceptionGroup("of a TaskGroup", [Deadlock("one"), ExceptionGroup("inner", [SerializationFailure("two")])]),
    ],
)
def test_errors_after_which_it_is_done_again(error: Exception) -> None:
    """What is marked retryable is done again, also from within groups, if all in the group is."""
    assert Retry().after(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        NotFound("nothing"),
        TransactionFailed("because of a mistake"),
        CommitOutcomeUnknown("it may have happened"),
        AfterCommitFailed("it has happened"),
        ExceptionGroup("mixed", [Deadlock("one"), ValueError("two")]),
    ],
)
def test_errors_after_which_it_is_not(error: Exception) -> None:
    """What would fail again, and what has happened or may have, is not done again."""
    assert not Retry().after(error)


def test_further_errors() -> None:
    """``also`` names further errors, but cannot have done again what has happened."""
    assert Retry(also=(StaleData,)).after(StaleData("changed"))
    everything = Retry(also=(Exception,))
    assert everything.after(ValueError("mine"))
    assert not everything.after(AfterCommitFailed("it has happened"))
    assert not everything.after(CommitOutcomeUnknown("it may have happened"))


def test_waits_grow_and_differ() -> None:
    """The bound of a wait doubles up to the longest, and the waits below it differ."""
    retry = Retry(wait=1.0, longest_wait=8.0, within=100.0)
    for failures, bound in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (5000, 8.0)):
        waits = {retry.next_wait(failures, 0.0) or 0.0 for _ in range(200)}
        assert len(waits) > 100
        assert bound / 2 < max(waits) <= bound


def test_no_wait_beyond_the_end() -> None:
    """An attempt that would begin too late does not begin."""
    retry = Retry(wait=1.0, within=5.0)
    assert retry.next_wait(1, 5.1) is None
    assert retry.next_wait(1, 3.9) is not None


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"within": -1.0}, {"wait": -0.1}, {"longest_wait": float("nan")}])
def test_numbers_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """A number that makes no sense is refused by its name."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Retry(**wrong)


def test_a_key_that_makes_no_sense() -> None:
    """A key is a text that is not empty, and is kept for some time."""
    with pytest.raises(ConfigurationError, match="key"):
        Once("")
    with pytest.raises(ConfigurationError, match="keep"):
        Once("key", keep=timedelta(0))
    assert repr(Once("key")) == "Once('key', replayed=None)"
