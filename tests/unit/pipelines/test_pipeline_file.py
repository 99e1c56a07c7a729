"""A pipeline file is right, or one line says what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from labeling_kit import document, words_only

from stack.pipelines import PipelineError, load_pipeline, plan_run, shipped
from stack.pipelines.inputs import find_inputs
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labeling import Keywords, digest


def load(folder: Path, content: Any) -> Any:
    path = folder / "notes.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_pipeline(str(path))


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_pipeline_reads_real_records_with_human_labels(name: str) -> None:
    pipeline = load_pipeline(name)
    planned = plan_run(pipeline)
    assert planned.records + sum(planned.dropped.values()) == sum(each.records for each in find_inputs(pipeline.read))
    assert planned.requests == planned.records >= 200
    assert all(source.licence and source.origin and source.credit and source.gold for source in pipeline.read.sources)


def test_each_sector_has_a_pipeline() -> None:
    assert shipped() == [
        "education-passages",
        "farm-crops",
        "health-conditions",
        "nusax-sentiment",
        "software-changes",
        "transit-destinations",
        "transit-requests",
    ]


def test_the_plan_of_a_limited_run_counts_what_would_be_asked(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("text,gold\ngood,yes\nbad,no\nbad,no\n,no\n")
    planned = plan_run(load(tmp_path, document()), limit=1)
    assert (planned.records, planned.shards, planned.requests) == (1, 1, 1)
    assert planned.dropped == {"duplicate": 1, "empty": 1}
    assert planned.max_completion_tokens == 8
    assert planned.prompt_tokens > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (document(normalise={"unicod": "NFC"}), "field `stages.1.normalise.unicod`: is not known here"),
        (document(aggregate=None), "stage `aggregate` is missing: add one"),
        (document(write=None), "stage `write` is missing"),
        (document(label=None, aggregate={}, evaluate=None), "stage `aggregate` needs a stage `label` before it"),
        ({**document(), "labels": []}, "field `labels`: a label stage needs at least two labels"),
        (document(label=words_only(otherwise="maybe")), "labeler `words` uses the label 'maybe', which is not among `labels`: yes, no"),
        (document(label={"labelers": [{"kind": "llm", "name": "m", "prompt": "no place"}]}), "must contain {text} where the record's text goes"),
        (document(label={"labelers": [{"kind": "llm", "name": "Bad Name", "prompt": "{text}"}]}), "field `stages.3.label.labelers.0.llm.name`"),
        (document(label={"labelers": [{"kind": "guess", "name": "g"}]}), "'keywords', 'regex', 'python', 'llm', 'neighbours'"),
        (document(label={"labelers": words_only()["labelers"] + words_only()["labelers"]}), "each labeler needs a name of its own; 'words' repeats"),
        ({**document(), "stages": document()["stages"][::-1]}, "stage `read` must come once, and first; got write, evaluate"),
        ("stages: [", "line 1: not YAML"),
        ("just words", "notes.yaml: field `(document)`"),
    ],
)
def test_a_fault_is_named_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        load(tmp_path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(PipelineError, match="neither a file nor one of the shipped pipelines: education-passages, "):
        load_pipeline("nusax")


def test_a_lexicon_file_is_read_in_and_its_labels_are_checked(tmp_path: Path) -> None:
    (tmp_path / "lexicon.yaml").write_text('"yes": [good]\n"no": [bad]\n')
    pipeline = load(tmp_path, document(label=words_only(lexicon="lexicon.yaml")))
    labeler = pipeline.stage(LabelStage).labelers[0]
    assert isinstance(labeler, Keywords)
    assert labeler.lexicon == {"yes": ("good",), "no": ("bad",)}
    (tmp_path / "lexicon.yaml").write_text("perhaps: [good]\n")
    with pytest.raises(PipelineError, match="uses the label 'perhaps'"):
        load(tmp_path, document(label=words_only(lexicon="lexicon.yaml")))
    (tmp_path / "lexicon.yaml").write_text('"yes": good\n')
    with pytest.raises(PipelineError, match=r"lexicon.yaml: field `yes`"):
        load(tmp_path, document(label=words_only(lexicon="lexicon.yaml")))


def test_a_digest_changes_with_what_decides_a_vote_and_not_with_how_fast_it_is_asked(tmp_path: Path) -> None:
    def of(labels: tuple[str, ...] = ("yes", "no"), **fields: Any) -> str:
        labeler = {"kind": "llm", "name": "m", "prompt": "{text}", **fields}
        return digest(load(tmp_path, document(label={"labelers": [labeler]})).label.labelers[0], labels, tmp_path)

    assert of() == of(concurrency=3) == of(timeout_s=5) == of(attempts=1) == of(name="other")
    assert len({of(), of(prompt="{text}?"), of(max_tokens=9), of(examples=[{"text": "x", "label": "no"}]), of(("yes", "no", "x"))}) == 5
