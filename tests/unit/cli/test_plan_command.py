"""`stackproof plan` in each of its forms."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from stack.cli.main import app
from stack.runtime.errors import StackproofError

MACHINE = Path(__file__).parents[2] / "data" / "machines" / "cuda.json"
H100 = ("--hardware", "h100-sxm:8x2", "--model", "llama-3.1-405b-instruct")


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_plan_for_a_described_machine_comes_with_its_predictions_and_their_class() -> None:
    told = json.loads(said("--inventory", str(MACHINE), "--model", "llama-3.1-8b-instruct", "--json"))
    assert (told["device"], told["parallel"]["tensor"]) == ("cuda", 1)
    assert {each["rates_class"] for each in told["predictions"]} == {"published"}
    assert told["vllm_arguments"][:2] == ["--served-model-name", "llama-3.1-8b-instruct"]


def test_the_text_shows_sum_class_arguments_and_ceilings() -> None:
    text = said(*H100)
    assert "GiB available (published)" in text
    assert "--pipeline-parallel-size 2 --distributed-executor-backend ray" in text
    assert "published dense bf16 peak" in text


def test_the_forms_are_what_their_readers_take() -> None:
    assert said(*H100, "--format", "vllm").startswith("--served-model-name llama-3.1-405b-instruct --dtype bfloat16")
    application, _ = yaml.load(said(*H100, "--format", "ray", "--model-path", "/srv/llama"), yaml.CSafeLoader)["applications"]
    assert application["name"] == "llama-3.1-405b-instruct"
    assert application["args"]["llm_configs"][0]["model_loading_config"]["model_source"] == "/srv/llama"
    values = yaml.load(said("--hardware", "mi300x", "--model", "phi-4", "--format", "helm"), yaml.CSafeLoader)
    assert values["engine"]["resources"]["limits"]["amd.com/gpu"] == "1"


BAD = [
    (("--inventory", "x", "--hardware", "l4"), "name two machines"),
    (("--inventory", "/nowhere/x"), "cannot be read"),
    (("--json", "--format", "ray"), "two forms"),
    (("--model-path", "/srv/llama", "--format", "vllm"), "goes with --format ray alone"),
    ((*H100, "--format", "helm"), "render it with --format ray"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_a_mistake_is_told_by_its_option(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(StackproofError, match=words):
        CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
