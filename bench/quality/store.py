"""quality.jsonl: the task on its first line, then an answer a line (edge)."""

import json
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.quality.models import Answered, QualityAnswers, TaskInfo
from stack.runtime.errors import describe_validation
from stack.runtime.files import write_atomic


def write_quality(path: Path, answers: QualityAnswers) -> None:
    """Write a whole file or nothing."""
    lines = [answers.task.model_dump_json(), *(each.model_dump_json() for each in answers.answers)]
    write_atomic(path, "\n".join(lines) + "\n")


def read_quality(path: Path) -> QualityAnswers | None:
    """None where there is no such file; BenchError when it holds something else."""
    try:
        head, *rest = path.read_text(encoding="utf-8").splitlines()
        return QualityAnswers(task=TaskInfo.model_validate(json.loads(head)), answers=tuple(Answered.model_validate(json.loads(line)) for line in rest))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=path.name)) from None
    except (OSError, ValueError) as error:
        raise BenchError(f"{path.name}: not the answers of a quality task: {' '.join(str(error).split())}") from None
