"""What every test may ask for."""

import functools
import gc
import re
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from otlp_receiver import Collector, start_collector
from xdist.scheduler import LoadFileScheduling

from stack.serving.deployment import DeployedModel
from stack.serving.models import CI_MODEL
from stack.serving.policy import Tracing, load_policy
from stack.serving.session import Session, serve_session

# A busy machine makes any example slow; pytest's own timeout ends what hangs.
settings.register_profile("stackproof", deadline=None)
settings.load_profile("stackproof")
# `make test-fast` asks for this one; `make test` tries every property in full.
settings.register_profile("fast", settings.get_profile("stackproof"), max_examples=25)

ENGINE = re.compile(r'\bserved: |serve_session\(|start_engine\(|STACKPROOF, "serve"|main", "serve"|"demo", "--quick"')
SLOW_FILE = re.compile(r"^pytestmark = \[?pytest\.mark\.slow\b", re.MULTILINE)
UNIT = Path(__file__).parent / "unit"

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests that press Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of which `-m` leaves nothing is not imported either: some of them import torch or an API client."""
    if collection_path.suffix == ".py" and not may_hold(config.option.markexpr, collection_path):
        return True
    return None


def may_hold(expression: str, file: Path) -> bool:
    """Whether `file` can hold a test that `-m expression` selects."""
    unit = UNIT in file.parents
    match expression:
        case "not slow":
            return not SLOW_FILE.search(file.read_text())
        case "not services":
            return unit or not SLOW_FILE.search(file.read_text())
        case "services":
            return not unit and "mark.slow" in file.read_text()
    return True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported here lives to the end: to look through it for garbage again and again took a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts services keeps to two at a time; simulations of tests/unit share the machine well."""
    for item in items:
        if item.get_closest_marker("slow") and UNIT not in item.path.parents:
            item.add_marker("services")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Simulations of tests/unit are not traced for coverage: up to ten times as slow, and quick tests run the same lines.

    pytest-cov's own `no_cover` stops one of the two tracers that a worker of xdist has.
    """
    tracer = sys.gettrace() if item.get_closest_marker("slow") and UNIT in item.path.parents else None
    if tracer is None:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


class OneEngine(LoadFileScheduling):  # type: ignore[misc]
    """A file goes to one worker, and all files that start an engine to the same one: two engines would starve each other."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "engine" if starts_engine(file) else file


@functools.cache
def starts_engine(file: str) -> bool:
    """Whether its tests ask for `served`, or start the demo or `serve` themselves."""
    return ENGINE.search((UNIT.parent.parent / file).read_text()) is not None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` with one engine."""
    return OneEngine(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session")
def engine_spans() -> Iterator[Collector]:
    """Where the shared engine and its gateway send their spans."""
    with start_collector() as started:
        yield started


@pytest.fixture(scope="session")
def served(engine_spans: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The CI model behind the gateway, traced, on free ports, once per test session (about 30 s to start)."""
    policy = load_policy().model_copy(update={"tracing": Tracing(endpoint=engine_spans.endpoint)})
    with serve_session(DeployedModel(model=CI_MODEL, enforce_eager=True), policy=policy, run_dir=tmp_path_factory.mktemp("served")) as session:
        yield session
