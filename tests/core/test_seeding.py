"""Streams: named, independent, and given back as they were."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from think.core import seeding


@given(seed=st.integers(0, 2**63), names=st.lists(st.one_of(st.text(max_size=5), st.integers(0, 9)), max_size=3))
def test_a_stream_is_a_number_that_torch_takes(seed: int, names: list[str | int]) -> None:
    found = seeding.stream(seed, *names)
    assert 0 <= found < 2**63
    assert found == seeding.stream(seed, *names)
    assert found != seeding.stream(seed, *names, "more")
    assert found != seeding.stream(seed + 1, *names)


def test_names_do_not_run_together() -> None:
    assert seeding.stream(1, "a", "b") != seeding.stream(1, "ab")
    assert seeding.stream(1, "1") != seeding.stream(11)


def test_known_value() -> None:
    """A stream that moved would change every run that was ever made."""
    assert seeding.stream(0, "stage1", "initialisation") == 6982182046752221503


def test_a_private_generator_leaves_the_global_one_alone() -> None:
    seeding.start(3, "x")
    expected = torch.randn(2)
    seeding.start(3, "x")
    torch.randn(5, generator=seeding.generator(9, "y"))
    assert torch.equal(torch.randn(2), expected)


def test_what_is_drawn_inside_untouched_is_not_missing_outside() -> None:
    seeding.start(3, "x")
    held = seeding.snapshot()
    with seeding.untouched():
        torch.randn(10)
    assert all(torch.equal(held[name], now) for name, now in seeding.snapshot().items())
    torch.randn(1)
    seeding.restore(held)
    assert torch.equal(torch.get_rng_state(), held["cpu"])
