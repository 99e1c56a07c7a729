"""Kubernetes' quantities, beside the official client's own parser."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.cluster.quantity import SUFFIXES, parse_quantity, whole

NUMBERS = st.decimals(min_value=0, max_value=10**12, places=3, allow_nan=False).map(lambda number: format(number, "f"))


@given(NUMBERS, st.sampled_from(sorted(SUFFIXES)))
def test_a_quantity_is_what_the_official_client_reads(number: str, suffix: str) -> None:
    from kubernetes.utils.quantity import parse_quantity as official

    assert parse_quantity(number + suffix) == official(number + suffix)


AMOUNTS = {"2113407800Ki": 2164129587200, "8": 8, "95690m": 95, "1e3": 1000, "5E3": 5000, "1E": 10**18, ".5Gi": 1 << 29}


@pytest.mark.parametrize(("text", "value"), AMOUNTS.items())
def test_a_whole_amount_is_rounded_down(text: str, value: int) -> None:
    assert whole(text) == value


@pytest.mark.parametrize("text", ["", "-1", "eight", "8 ", "1e999", "0x8", "8gb", "NaN", "Infinity", "9" * 31, "\u0668"])
def test_what_is_no_amount_is_unknown_and_not_zero(text: str) -> None:
    assert parse_quantity(text) is None
    assert whole(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    found = parse_quantity(text)
    assert found is None or (isinstance(found, Decimal) and found >= 0)
