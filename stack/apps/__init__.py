"""Sector apps: small programs that answer from tools and data, with a language model at most to parse and to phrase.

In: a question; the address of a served model. Out: an `Answer` whose facts all come from tools, with its sources
and its trace; and of each app an evaluation that scores the model beside a baseline without one. An app stays
useful when the model is down, never says a fact that no tool gave, and never asks anything but its own data.
"""

from stack.apps.answer import Answer, Source, ToolCall
from stack.apps.catalog import APPS, App, Evaluation, evaluate_app, find_app
from stack.apps.errors import AppError

__all__ = ["APPS", "Answer", "App", "AppError", "Evaluation", "Source", "ToolCall", "evaluate_app", "find_app"]
