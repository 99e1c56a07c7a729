"""The apps that there are, and the way to each one's evaluation (lookup; an app is imported when it is used)."""

import importlib
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stack.apps.errors import AppError
from stack.evidence import Figure
from stack.runtime.progress import Reporter


@dataclass(frozen=True)
class App:
    """One sector app; `package` has a subpackage `evaluation` with `evaluate` and `figures`."""

    name: str
    sector: str
    title: str
    package: str


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation leaves: figures that follow from the files of `out` that `artifacts` names (name -> role), and the rest."""

    app: App
    model: str
    out: Path
    artifacts: dict[str, str]
    config: dict[str, Any]
    figures: tuple[Figure, ...]
    seconds: float
    results: dict[str, Any] = field(default_factory=dict)


APPS = (App("transit", "transportation", "Trip questions answered from a timetable", "stack.apps.transit"),)


def find_app(name: str) -> App:
    """AppError names the apps there are."""
    for app in APPS:
        if app.name == name:
            return app
    raise AppError(f"there is no app {name!r}: choose one of {', '.join(app.name for app in APPS)}")


async def evaluate_app(
    name: str,
    *,
    url: str,
    api_key: str | None,
    model: str,
    out: Path,
    tls: ssl.SSLContext | None = None,
    limit: int | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Put the app's questions to the model at `url`, score the answers beside the baseline's, and write both to `out`.

    `tls` says whom to trust at an https `url`; None: the public authorities.

    ChatFailedError when the model does not answer: a score of the fallback would pass for the model's.
    """
    app = find_app(name)
    evaluate = cast(Callable[..., Coroutine[Any, Any, Evaluation]], _evaluation(app, "evaluate"))
    return await evaluate(app, url=url, api_key=api_key, tls=tls, model=model, out=out, limit=limit, reporter=reporter or Reporter())


def recompute_figures(name: str, artifact: Callable[[str], Path]) -> list[Figure]:
    """The figures that follow from an evaluation's files; `artifact` gives the path of one by its name."""
    return cast(Callable[[Callable[[str], Path]], list[Figure]], _evaluation(find_app(name), "figures"))(artifact)


def _evaluation(app: App, function: str) -> Any:
    return getattr(importlib.import_module(f"{app.package}.evaluation"), function)
