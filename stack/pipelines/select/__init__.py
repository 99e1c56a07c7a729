"""Which records go on, and into which part: a sample, an even take for `--limit`, and a split without leakage.

In: sketches with ids, strata and seeded hashes. Out: records to drop, or the column `split`. Chance is a hash of seed and record_id,
so that it depends neither on order nor on shards.
"""

from stack.pipelines.select.sample import Sample
from stack.pipelines.select.split import Split
from stack.pipelines.select.take import Take

__all__ = ["Sample", "Split", "Take"]
