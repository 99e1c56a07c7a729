"""Whether the model still answers right, and at length, while it is fast: without that a claim of speed is void.

In: an accuracy task (JSONL), the server that was just measured, the output tokens of the measured requests. Out: `quality.jsonl`,
one line an answer, and a `QualityView` that is a pure function of it. It must never change what the load generator measures, nor
lose a measured run because the task could not be asked.
"""

from bench.quality.guard import quality_notes, quality_reasons, quality_view
from bench.quality.models import QualityAnswers, QualityView

__all__ = ["QualityAnswers", "QualityView", "quality_notes", "quality_reasons", "quality_view"]
