"""What becomes of a text before it is labeled: cleaned, its language told, its quality judged.

In: batches of records. Out: the same batches with cleaner texts, the columns `language`, `language_confidence` and (if asked)
`quality_failed`, and records dropped with a reason. Each record is judged by itself: nothing here may depend on the others of its
shard, on the time or on chance, and nothing is fetched.
"""

from stack.pipelines.text.language import Language
from stack.pipelines.text.normalise import Normalise
from stack.pipelines.text.quality import Quality, order_hint

__all__ = ["Language", "Normalise", "Quality", "order_hint"]
