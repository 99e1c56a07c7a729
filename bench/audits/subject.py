"""What an audit is pointed at: a run's folder, or a workload (edge)."""

from dataclasses import dataclass
from pathlib import Path

from bench.audits.bodies import quiet
from bench.audits.models import Subject
from bench.errors import BenchError
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from bench.run import new_seed
from bench.workload import load_workload
from bench.workload.prompts import LengthReference


@dataclass(frozen=True)
class Chosen:
    """The subject, and the folder of the run that it comes from, if it comes from one."""

    subject: Subject
    run: Path | None = None


def choose(
    source: str, *, model: str | None = None, seed: int | None = None, sample: int | None = None, rounds: int = 4, reference_tokens: float | None = None
) -> Chosen:
    """From the folder of a run, or a workload's file or name. BenchError in one line when it is neither.

    `seed` is the evaluator's; of a workload it makes the load as well, of a run only the choice of what is looked at.
    """
    audit_seed = new_seed() if seed is None else seed
    folder = Path(source)
    if folder.is_dir():
        if not (folder / REQUESTS).is_file():
            raise BenchError(f"{folder}: not the folder of a run: no {REQUESTS} in it")
        run = read_samples(folder / REQUESTS, folder / TOKENS).run
        if model is not None and model != run.workload.model:
            raise BenchError(f"--model {model}: the run was of {run.workload.model}: audit its workload to look at another model")
        workload, load_seed, found = run.workload, run.seed, folder
    else:
        workload, load_seed, found = load_workload(source, model=model), audit_seed, None
    if workload.model is None:
        raise BenchError("field `model`: missing in the workload: give the model's name there or with --model")
    if reference_tokens is not None:
        workload = workload.model_copy(update={"reference": LengthReference(output_tokens_mean=reference_tokens)})
    return Chosen(Subject(workload=quiet(workload), seed=load_seed, audit_seed=audit_seed, sample=sample, rounds=rounds), found)
