"""A model of a few bytes in the shape of a catalog entry that no package carries."""

import json
from pathlib import Path

from stack.serving.models import find_model

MODEL = find_model("llama-3.1-8b-instruct")


def safetensors(header: object, data: bytes) -> bytes:
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data


WEIGHTS = safetensors({"w": {"dtype": "U8", "shape": [70_000], "data_offsets": [0, 70_000]}}, bytes(range(250)) * 280)


def write_model(folder: Path) -> Path:
    """What a publisher's repository has: weights, configuration, licence."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096}')
    (folder / "LICENSE").write_text("terms")
    return folder
