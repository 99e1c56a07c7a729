"""Small tokenizers of the four common families, trained here, and what a request says."""

import json
from pathlib import Path
from typing import Any

import bench_kit
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from bench.prompts.word_list import ENGLISH
from bench.workload import Workload

KINDS = ("byte_level", "sentence_piece", "unigram", "word_piece")


def tokenizer(kind: str) -> Tokenizer:
    """GPT-2's form, Llama 2's (no pre-tokenizer: BPE over the whole text), T5's and BERT's."""
    corpus = [" ".join(ENGLISH[at:] + ENGLISH[:at]) for at in range(0, len(ENGLISH), 8)] * 4
    special = ["<unk>", "<s>", "<|im_end|>"]
    if kind == "byte_level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(vocab_size=2000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    elif kind == "sentence_piece":
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=special, show_progress=False)
    elif kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False)
    else:
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special, show_progress=False)
    made.train_from_iterator(corpus, trainer)
    if kind == "sentence_piece":  # as Llama 2 ships it: spaces become letters and nothing is split before the merges
        made.pre_tokenizer = None
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return made


def save(folder: Path, kind: str = "byte_level", **limits: int) -> Path:
    """A model's folder with that tokenizer in it; `max_length` as in files that remember the limit of their training."""
    made = tokenizer(kind)
    if limits:
        made.enable_truncation(**limits)
        made.enable_padding(length=limits["max_length"])
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return folder


def load(**changes: Any) -> Workload:
    return bench_kit.workload(**changes)


def content(body: bytes) -> Any:
    """What the first message says."""
    return json.loads(body)["messages"][0]["content"]
