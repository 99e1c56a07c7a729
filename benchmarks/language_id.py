"""Language identification: accuracy on languages that partner countries speak, with Wilson 95 % intervals, and texts per second.

    .venv/bin/python benchmarks/language_id.py [--nusax ../shared/data/text/nusax]

`data/language_sentences.jsonl` has the same 12 everyday sentences (3 to 15 words), written for this project, in 16 languages and in Malay,
the neighbour that Indonesian is mistaken for. They are told apart among all languages of the model and among these 17 only. NusaX
(CC BY-SA 4.0) has 600 reviews in English, Indonesian and Javanese; Sundanese, which the model does not know, shows what becomes of such a
text. Bar: overall accuracy >= 0.9. Speed is of one core, and of py3langid's own call for a single text beside it.
"""

import argparse
import csv
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from stack.pipelines.statistics import Proportion, wilson
from stack.pipelines.text import Language
from stack.pipelines.text.tags import label_of

BAR = 0.9
SENTENCES = Path(__file__).parent / "data" / "language_sentences.jsonl"
NUSAX = {"english": "en", "indonesian": "id", "javanese": "jv", "sundanese": "su"}
UNKNOWN = "su"

Sample = tuple[str, str]
"""Language, text."""


def sentences() -> list[Sample]:
    return [(row["language"], row["text"]) for row in map(json.loads, SENTENCES.read_text(encoding="utf-8").splitlines())]


def nusax(folder: Path) -> list[Sample]:
    found = []
    for name, language in NUSAX.items():
        for path in sorted((folder / name).glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as rows:
                found += [(language, row["text"]) for row in csv.DictReader(rows)]
    return found


def told(samples: Sequence[Sample], languages: tuple[str, ...]) -> list[str]:
    return [tag for tag, _ in Language(languages=languages).guess([text for _, text in samples])]


def correct(samples: Sequence[Sample], answers: Sequence[str]) -> Proportion:
    return wilson(sum(language == answer for (language, _), answer in zip(samples, answers, strict=True)), len(samples))


def table(title: str, samples: Sequence[Sample], answers: Sequence[str]) -> Proportion:
    """Prints one line per language and one for all; a language that the model does not know is not counted in all."""
    print(f"\n{title}")
    pairs = list(zip(samples, answers, strict=True))
    for language in dict.fromkeys(language for language, _ in samples):
        here = [(sample, answer) for sample, answer in pairs if sample[0] == language]
        wrong = Counter(answer for _, answer in here if answer != language).most_common(3)
        line(f"{language:4}", correct(*zip(*here, strict=True)), "  as " + ", ".join(f"{tag} {count}" for tag, count in wrong) if wrong else "")
    known = [(sample, answer) for sample, answer in pairs if sample[0] != UNKNOWN]
    overall = correct(*zip(*known, strict=True))
    line("all ", overall, "" if len(known) == len(pairs) else f"  without {UNKNOWN}")
    return overall


def line(name: str, share: Proportion, note: str) -> None:
    print(f"  {name} {share.successes:5d}/{share.total:<5d} {share.value:.4f}  [{share.low:.4f}, {share.high:.4f}]{note}")


def speed(texts: list[str], languages: tuple[str, ...]) -> str:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    single = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if languages:
        single.set_languages([label_of(tag) for tag in languages])
    stage = Language(languages=languages)
    stage.guess(texts[:100])
    batch_s = min(cpu_s(lambda: [stage.guess(texts[start : start + 1000]) for start in range(0, len(texts), 1000)]) for _ in range(3))
    single_s = min(cpu_s(lambda: [single.classify(text) for text in texts]) for _ in range(2))
    among = f"{len(languages)} languages" if languages else "all languages"
    return f"{among}: {len(texts) / batch_s:.0f} texts per CPU second, one call per text {len(texts) / single_s:.0f}: {single_s / batch_s:.1f} times"


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nusax", type=Path, default=Path("../shared/data/text/nusax"))
    arguments = parser.parse_args()
    print(f"command: python {' '.join(sys.argv)}; Python {platform.python_version()}, {platform.machine()}")
    everyday = sentences()
    candidates = tuple(dict.fromkeys(language for language, _ in everyday))
    overall = [
        table("12 sentences each, among all languages of the model", everyday, told(everyday, ())),
        table(f"12 sentences each, among these {len(candidates)}", everyday, told(everyday, candidates)),
    ]
    reviews = nusax(arguments.nusax)
    if reviews:
        overall.append(table("NusaX, among all languages of the model", reviews, told(reviews, ())))
        overall.append(table("NusaX, among en, id, jv, ms", reviews, told(reviews, ("en", "id", "jv", "ms"))))
    else:
        print(f"\nNusaX is not in {arguments.nusax}: not measured")
    texts = [text[:120] for _, text in reviews or everyday * 10]
    print(f"\n{len(texts)} texts of {sum(map(len, texts)) / len(texts):.0f} characters on average")
    print("  " + speed(texts, ()))
    print("  " + speed(texts, candidates))
    met = all(share.value is not None and share.value >= BAR for share in overall)
    print(f"bar (overall >= {BAR} in each table): " + ("met" if met else "MISSED"))
    sys.exit(not met)


if __name__ == "__main__":
    main()
