"""A run that is shared out sends what one worker would have sent."""

from hypothesis import given
from hypothesis import strategies as st

from bench.load.share import Share


@given(st.integers(1, 40), st.integers(0, 500))
def test_every_unit_belongs_to_exactly_one_worker(workers: int, count: int) -> None:
    shares = [Share(worker, workers) for worker in range(workers)]
    units = [share.unit(place) for share in shares for place in range(share.of(count))]
    assert sorted(units) == list(range(count))


@given(st.integers(1, 40), st.integers(0, 500))
def test_no_worker_has_more_than_one_unit_more_than_another(workers: int, count: int) -> None:
    sizes = [Share(worker, workers).of(count) for worker in range(workers)]
    assert max(sizes) - min(sizes) <= 1
