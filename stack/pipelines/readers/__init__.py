"""Sources of records: files in eight formats are cut into splits, and a split is read into rows and bad rows.

In: a `Source`. Out: `Split`s, then `Row`s and `Bad`s, in the order of the files. Bad input never ends a run and is never silent; only
what the user can mend (a path, a column, a format, a missing package) raises PipelineError.
"""

from stack.pipelines.readers.models import Bad, Row, Source, Split
from stack.pipelines.readers.plan import plan_splits
from stack.pipelines.readers.read import read_split

__all__ = ["Bad", "Row", "Source", "Split", "plan_splits", "read_split"]
