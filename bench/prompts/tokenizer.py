"""The model's tokenizer, for prompts of an exact length and for checking the server's counts (edge: reads one file).

The `tokenizers` package is imported only where a workload counts tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FIELD = "field `prompts.tokenizer`"
FILE = "tokenizer.json"


def load_tokenizer(path: Path) -> "Tokenizer":
    """From tokenizer.json, or the folder that holds it; BenchError with the mend where there is none."""
    from tokenizers import Tokenizer

    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise BenchError(f"{FIELD}: {path}: {_why_not(path)}")
    if file.suffix == ".gguf":
        raise BenchError(f"{FIELD}: {path}: {_GGUF}")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises nothing narrower
        raise BenchError(f"{FIELD}: {file}: not a tokenizer of the `tokenizers` package: {' '.join(str(error).split())[:200]}") from None
    # Some files carry the limits of their training: they would cut, or fill up, what is counted here.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def find_tokenizer(given: Path | None, *, model: str | None) -> Path | None:
    """Where to load from: what the workload names, else the folder of a catalog model of that name that is on this machine, else nothing."""
    if given is not None:
        return given
    from stack.serving.models import load_catalog
    from stack.serving.weights import model_dir

    if model not in load_catalog():
        return None
    folder = model_dir(model)
    return folder if (folder / FILE).is_file() else None


def need_tokenizer(given: Path | None, *, model: str | None) -> "Tokenizer":
    """For prompts whose length is exact; BenchError says how to name a tokenizer when there is none."""
    path = find_tokenizer(given, model=model)
    if path is None:
        raise BenchError(f"{FIELD}: exact lengths need the tokenizer of {model}: give the model's folder or tokenizer.json there or with --tokenizer")
    return load_tokenizer(path)


def count_tokens(tokenizer: "Tokenizer", text: str) -> int:
    """Tokens of the text alone: neither a start token nor a chat template is added."""
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


_GGUF = "a GGUF file's tokenizer is readable once the model is converted: run `stackproof models pull NAME` and give the folder that it names"


def _why_not(path: Path) -> str:
    if not path.exists():
        return "no such file or folder"
    if any(path.glob("*.gguf")):
        return f"no {FILE} in it; {_GGUF}"
    if (path / "tokenizer.model").is_file():
        return f"no {FILE} in it, only tokenizer.model: write one with transformers, AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
    return f"no {FILE} in it: give the folder of the model, or the file itself"
