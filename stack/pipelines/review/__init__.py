"""People beside the labelers: a page where they vote, the log of what they decided, and other tools' file formats.

In: a dataset folder (labels.parquet) and people. Out: reviews.jsonl there, one synced line per decision, and what it
comes to: `reviewed(out)` and `people_votes(path)`. The log is never rewritten, and nothing here changes labels.parquet.
"""

from stack.pipelines.review.decisions import Decision, Kind, ReviewState, fold
from stack.pipelines.review.exchange import Imported, export_reviews, import_reviews
from stack.pipelines.review.log import REVIEWS, read_decisions
from stack.pipelines.review.outcome import Reviewed, people_votes, reviewed
from stack.pipelines.review.web import serve_review

__all__ = [
    "REVIEWS",
    "Decision",
    "Imported",
    "Kind",
    "ReviewState",
    "Reviewed",
    "export_reviews",
    "fold",
    "import_reviews",
    "people_votes",
    "read_decisions",
    "reviewed",
    "serve_review",
]
