"""How well the transit app answers: questions with known slots, put to the model and to the baseline without one.

In: `questions.jsonl` (from `generate.py`), a served model. Out: one prediction a question, and figures that follow
from the predictions alone. The best journeys come from `oracle.py`, never from the search that is being scored.
"""

from stack.apps.transit.evaluation.figures import figures
from stack.apps.transit.evaluation.run import evaluate

__all__ = ["evaluate", "figures"]
