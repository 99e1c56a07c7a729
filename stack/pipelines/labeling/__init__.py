"""Labelers: what a pipeline file may say of them, and how they vote.

In: texts, the pipeline's labels, a labeler. Out: one `Vote` per text, in order, which depends on that text only, so that shards and
parallelism change nothing. `vote` is for labelers that ask nobody, `ask` for a chat model: bounded and adaptive concurrency,
retries, budgets, and answers kept in `Answers` so that nothing is paid for twice. It never reads a record's other columns and never
writes anything but answers.
"""

from stack.pipelines.labeling.answers import Answers
from stack.pipelines.labeling.asking import ask
from stack.pipelines.labeling.budget import Budget, BudgetSpentError
from stack.pipelines.labeling.spec import Example, Keywords, Labeler, Llm, Neighbours, People, Python, Regex, digest, labels_used
from stack.pipelines.labeling.votes import Vote, vote

__all__ = [
    "Answers",
    "Budget",
    "BudgetSpentError",
    "Example",
    "Keywords",
    "Labeler",
    "Llm",
    "Neighbours",
    "People",
    "Python",
    "Regex",
    "Vote",
    "ask",
    "digest",
    "labels_used",
    "vote",
]
