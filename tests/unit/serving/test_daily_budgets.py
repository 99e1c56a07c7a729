"""Budgets for a day: when it begins, what counts, what is told, and that a restart forgets nothing."""

import json
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from stack.serving.budget_file import SAVE_EVERY_S, kept_budgets, read_day
from stack.serving.budgets import DAY_S, Budgets, DayState, TenantDay, budget_rows
from stack.serving.errors import ServingError
from stack.serving.keys import ApiKey, KeyRing, write_keys
from stack.serving.metrics import GatewayMetrics
from stack.serving.over_limit import OverLimitError
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.quotas import Demand, Quotas
from stack.serving.session import Session
from stack.serving.supervise import Supervisor
from stack.serving.tenants import Principal, RateClass

CLINIC, SCHOOL = Principal("clinic"), Principal("school")
NOON = 20_000 * DAY_S + DAY_S / 2
UNLIMITED = load_policy()


class Wall:
    """A wall clock that a test sets."""

    def __init__(self, at_s: float = NOON) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return self.at_s


def quotas(wall: Wall, budgets: Budgets | None = None, **limits: int) -> Quotas:
    return Quotas({"default": RateClass(**limits)}, longest_s=100, budgets=budgets or Budgets(), wall_s=wall)


def demand(tokens: int = 10) -> Demand:
    return Demand(model="m", tokens=tokens)


def refusal(accounts: Quotas, asked: Demand | None, principal: Principal = CLINIC) -> OverLimitError:
    with pytest.raises(OverLimitError) as caught:
        accounts.open("refused", principal, asked, 0)
    return caught.value


def test_a_budget_of_requests_is_refused_until_midnight_in_utc_and_begins_anew_then() -> None:
    wall = Wall()
    accounts = quotas(wall, requests_per_day=2)
    accounts.open("a", CLINIC, demand(), 0)
    accounts.open("models", CLINIC, None, 0)
    over = refusal(accounts, demand())
    assert (str(over), over.retry_after_s) == ("2 requests a day are this key's budget: the next day begins at 00:00 UTC", DAY_S / 2)
    accounts.open("b", SCHOOL, demand(), 0)
    wall.at_s += DAY_S / 2 - 1
    assert refusal(accounts, None).retry_after_s == 1
    wall.at_s += 1
    accounts.open("c", CLINIC, demand(), 0)


def test_tokens_are_charged_by_estimate_and_settled_by_the_engines_count() -> None:
    accounts = quotas(Wall(), tokens_per_day=100)
    accounts.open("a", CLINIC, demand(90), 0)
    accounts.close("a", 30, 1)
    accounts.open("b", CLINIC, demand(60), 0)
    accounts.close("b", None, 1)  # no count came: the estimate stands
    over = refusal(accounts, demand(11))
    assert str(over) == "100 tokens a day are this key's budget: 10 are left until 00:00 UTC, this request may come to 11"
    assert over.retry_after_s == DAY_S / 2
    accounts.open("c", CLINIC, demand(10), 0)


def test_where_requests_under_way_hold_what_is_left_one_may_soon_be_let_through() -> None:
    accounts = quotas(Wall(), tokens_per_day=100)
    accounts.open("a", CLINIC, demand(90), 0)
    over = refusal(accounts, demand(20))
    assert over.retry_after_s == 1
    assert "requests under way hold 90" in str(over)
    accounts.close("a", 5, 1)
    accounts.open("b", CLINIC, demand(20), 0)


def test_a_request_of_more_than_a_days_budget_is_told_so_and_not_to_try_again() -> None:
    over = refusal(quotas(Wall(), tokens_per_day=100), demand(101))
    assert over.retry_after_s is None
    assert "estimated 101 tokens are more than the 100 a day of this key: shorten the prompt or set max_tokens" in str(over)


def test_a_refused_request_is_charged_nothing_of_any_limit() -> None:
    accounts = quotas(Wall(), requests_per_minute=2, tokens_per_day=20)
    accounts.open("a", CLINIC, demand(15), 0)
    for _ in range(3):
        refusal(accounts, demand(10))
    accounts.open("b", CLINIC, demand(5), 0)
    for name in ("a", "b"):
        accounts.close(name, None, 0)
    # Both limits are reached: a minute passes sooner than the day.
    assert refusal(accounts, demand(10)).retry_after_s == DAY_S / 2


def test_a_request_counts_for_the_day_on_which_it_came() -> None:
    wall = Wall()
    accounts = quotas(wall, tokens_per_day=100)
    accounts.open("a", CLINIC, demand(90), 0)
    wall.at_s += DAY_S
    accounts.open("b", CLINIC, demand(90), 0)
    accounts.close("a", 0, 1)
    assert refusal(accounts, demand(20)).retry_after_s == 1
    accounts.close("b", 80, 1)
    assert accounts.budgets.state(wall()).tenants["clinic"].tokens == 80


def test_a_clock_that_is_put_back_or_was_ahead_gives_nobody_a_budget_twice_and_keeps_nobody_out_for_longer_than_a_day() -> None:
    wall = Wall(NOON + 1000 * DAY_S)
    accounts = quotas(wall, requests_per_day=1)
    accounts.open("a", CLINIC, None, 0)
    wall.at_s = NOON
    assert refusal(accounts, None).retry_after_s == DAY_S / 2
    wall.at_s += DAY_S
    accounts.open("b", CLINIC, None, 0)


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(("ends", "stays", "breaks off")), st.integers(0, 60)), max_size=40))
def test_no_request_is_let_through_beyond_the_budget_whatever_others_came_to(steps: list[tuple[int, str, int]]) -> None:
    accounts, charged, above = quotas(Wall(), tokens_per_day=150), 0, 0
    for number, (estimate, end, count) in enumerate(steps):
        if charged + estimate > 150:
            refusal(accounts, demand(estimate))
            continue
        accounts.open(str(number), CLINIC, demand(estimate), 0)
        charged += estimate
        if end != "stays":
            told = count if end == "ends" else None
            accounts.close(str(number), told, 0)
            charged += 0 if told is None else told - estimate
            above += max(0, (told or 0) - estimate)  # the engine counted more than was estimated
        assert accounts.budgets.state(NOON).tenants["clinic"].tokens == charged <= 150 + above


def policy(**limits: int) -> GatewayPolicy:
    return UNLIMITED.model_copy(update={"classes": {"default": RateClass(**limits)}})


DAILY = policy(tokens_per_day=100)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "budgets.json"
    assert {each.name for each in tmp_path.iterdir()} <= {"budgets.json", "budgets.json.lock"}


def use(path: Path, tokens: int, *, ended: bool = True) -> None:
    """A life of the policy service in which one request is let through."""
    with kept_budgets(path, DAILY) as budgets:
        assert budgets is not None
        accounts = Quotas(DAILY.classes, 100, budgets)
        accounts.open("a", CLINIC, demand(tokens), 0)
        if ended:
            accounts.close("a", tokens, 0)


def test_what_was_used_outlives_the_service_in_a_private_file(path: Path) -> None:
    use(path, 30)
    use(path, 60, ended=False)
    assert path.stat().st_mode & 0o777 == 0o600
    state = read_day(path)
    assert state is not None
    assert state.tenants == {"clinic": TenantDay(rate_class="default", requests=2, tokens=90)}
    with kept_budgets(path, DAILY) as budgets:
        assert refusal(Quotas(DAILY.classes, 100, budgets or Budgets()), demand(11)).retry_after_s is not None


@pytest.mark.slow
def test_the_file_is_written_about_once_a_second_and_not_with_every_request(path: Path) -> None:
    with kept_budgets(path, policy(requests_per_day=10**9)) as budgets:
        assert budgets is not None
        accounts, written = Quotas({"default": RateClass(requests_per_day=10**9)}, 100, budgets), {path.stat().st_ino}
        began, asked = time.monotonic(), 0
        while len(written) == 1 and time.monotonic() < began + 20 * SAVE_EVERY_S:
            accounts.open("a", CLINIC, None, 0)
            asked += 1
            written.add(path.stat().st_ino)
        assert asked > 1000
        assert len(written) == 2
        assert time.monotonic() - began > 0.9 * SAVE_EVERY_S
        # So the service killed with SIGKILL now has most of it in the file.
        assert 0 < json.loads(path.read_text())["tenants"]["clinic"]["requests"] <= asked
    assert json.loads(path.read_text())["tenants"]["clinic"]["requests"] == asked


def test_a_day_that_is_over_is_forgotten_when_the_service_starts(path: Path) -> None:
    path.write_text(DayState(day=date(2026, 1, 1), tenants={"clinic": TenantDay(rate_class="default", requests=1, tokens=100)}).model_dump_json())
    use(path, 100)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not JSON|Invalid JSON"),
        ("{", "Invalid JSON|not JSON"),
        ('{"day": "2026-01-01", "tenants": {}, "format": "something/v2"}', "field `format`"),
        ('{"day": "yesterday", "tenants": {}}', "field `day`"),
        ('{"day": "2026-01-01", "tenants": {"clinic": {"rate_class": "default", "requests": -5, "tokens": 1}}}', "field `tenants.clinic.requests`"),
        ('{"day": "2026-01-01", "tenants": {"../x": {"rate_class": "default", "requests": 5, "tokens": 1}}}', "field `tenants"),
        ("[]", "budgets.json"),
    ],
)
def test_a_file_that_is_none_of_ours_stops_the_start_in_one_line_and_stays_as_it_is(path: Path, content: str, told: str) -> None:
    path.write_text(content)
    with pytest.raises(ServingError, match=told) as caught, kept_budgets(path, DAILY):
        pass
    assert str(caught.value).startswith(f"daily budgets {path}: ")
    assert "put it back, or remove it" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == content


def test_a_file_that_cannot_be_read_or_written_stops_the_start_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ServingError, match=r"folder: cannot be read: Is a directory"), kept_budgets(tmp_path / "folder", DAILY):
        pass
    with pytest.raises(ServingError, match=r"nowhere.*cannot be written: No such file"), kept_budgets(tmp_path / "nowhere" / "budgets.json", DAILY):
        pass
    with pytest.raises(ServingError, match=r"field `classes`: the policy has daily budgets: name the file .* with --budgets"), kept_budgets(None, DAILY):
        pass


def test_two_services_do_not_keep_one_file(path: Path) -> None:
    with kept_budgets(path, DAILY), pytest.raises(ServingError, match="another policy service keeps them"), kept_budgets(path, DAILY):
        pass
    use(path, 1)


def test_a_policy_without_daily_budgets_keeps_no_file(path: Path) -> None:
    with kept_budgets(path, policy(tokens_per_minute=5)) as budgets:
        assert budgets is None
    assert not path.exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_nobody_and_is_told_once(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with kept_budgets(path, DAILY) as budgets:
        assert budgets is not None
        accounts = Quotas(DAILY.classes, 100, budgets)
        with monkeypatch.context() as patched:
            patched.setattr("stack.serving.budget_file.write_atomic", full)
            for tokens in (50, 40):
                accounts.open("a", CLINIC, demand(tokens), 0)
                time.sleep(1.2 * SAVE_EVERY_S)
            assert refusal(accounts, demand(20)).retry_after_s is not None
    assert [record.message for record in caplog.records] == [
        f"daily budgets {path}: cannot be written: No space left on device; budgets still hold, but a restart would forget what is used from now on"
    ]
    assert json.loads(path.read_text())["tenants"]["clinic"]["tokens"] == 90


CLASSES = {"default": RateClass(), "paying": RateClass(tokens_per_day=1000), "trial": RateClass(tokens_per_day=100, requests_per_day=4)}


def test_the_status_tells_every_tenant_with_a_budget_the_nearest_to_its_end_first() -> None:
    budgets = Budgets()
    for tenant, rate_class, tokens in (
        ("clinic", "paying", 500),
        ("farm", "default", 10),
        ("school", "trial", 10),
        ("school", "trial", 10),
        ("school", "trial", 10),
    ):
        budgets.charge(Principal(tenant, rate_class), CLASSES[rate_class], tokens, NOON)
    rows = budget_rows(CLASSES, budgets.state(NOON), {"clinic": "paying", "new": "paying", "farm": "default"}, NOON)
    assert [(row.tenant, row.tokens, row.tokens_per_day, row.requests, row.requests_per_day) for row in rows] == [
        ("school", 30, 100, 3, 4),
        ("clinic", 500, 1000, 1, None),
        ("new", 0, 1000, 0, None),
    ]
    tomorrow = budget_rows(CLASSES, budgets.state(NOON), {"clinic": "paying"}, NOON + DAY_S)
    assert [(row.tenant, row.tokens) for row in tomorrow] == [("clinic", 0)]


def test_a_sessions_status_tells_the_tenants_of_its_key_file_and_those_charged_today(tmp_path: Path) -> None:
    rules = UNLIMITED.model_copy(update={"classes": CLASSES})
    write_keys(tmp_path / "keys.json", (ApiKey(tenant="clinic", rate_class="paying", sha256="0" * 64), ApiKey(tenant="farm", sha256="1" * 64)))
    session = SimpleNamespace(policy=rules, run_dir=tmp_path, admin=lambda: None, pools=(), parts=(), gateway_url="http://x", api_key_file=tmp_path / "api.key")
    supervisor = Supervisor(cast(Session, session), lambda _: None)
    assert [(row.tenant, row.tokens) for row in supervisor.status().budgets] == [("clinic", 0)]
    with kept_budgets(tmp_path / "budgets.json", rules) as budgets:
        assert budgets is not None
        budgets.charge(Principal("school", "trial"), CLASSES["trial"], 30, time.time())
    assert [(row.tenant, row.tokens) for row in supervisor.status().budgets] == [("school", 30), ("clinic", 0)]
    (tmp_path / "budgets.json").write_text("broken")
    assert supervisor.status().budgets == ()


def test_metrics_tell_use_and_budget_of_the_key_files_tenants_alone() -> None:
    metrics, budgets = GatewayMetrics(UNLIMITED.model_copy(update={"classes": CLASSES})), Budgets()
    metrics.show_budgets(budgets)
    metrics.follow(KeyRing((ApiKey(tenant="school", rate_class="trial", sha256="0" * 64),)))
    for tenant in ("school", "of-a-token"):
        budgets.charge(Principal(tenant, "trial"), CLASSES["trial"], 30, time.time())
    told = [line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith("stackproof_gateway_day_")]
    assert sorted(told) == [
        'stackproof_gateway_day_budget{kind="requests",tenant="school"} 4.0',
        'stackproof_gateway_day_budget{kind="tokens",tenant="school"} 100.0',
        'stackproof_gateway_day_used{kind="requests",tenant="school"} 1.0',
        'stackproof_gateway_day_used{kind="tokens",tenant="school"} 30.0',
    ]


def test_a_policy_names_daily_budgets_like_the_others_and_refuses_none_at_all() -> None:
    assert DAILY.daily
    assert DAILY.limits_tenants
    assert DAILY.reported
    assert policy(requests_per_day=5).limits_tenants
    assert not UNLIMITED.daily
    with pytest.raises(ValueError, match="tokens_per_day"):
        RateClass(tokens_per_day=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_of_somebody_else_stops_the_start(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(ServingError, match="cannot be read: Permission denied"), kept_budgets(path, DAILY):
        pass
