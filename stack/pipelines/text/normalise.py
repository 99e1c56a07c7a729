"""Text as people meant it: mojibake mended, markup taken off, one Unicode form, no control characters, no stray white space."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.readers.documents import html_text

Whitespace = bool | Literal["lines"]
Step = Callable[[str], str]

# Category Cc but for what str.split() takes for white space, and the byte order mark, which means nothing within a text. Joiners and
# direction marks (category Cf) stay: Persian, Hindi, Khmer and emoji are spelt with them.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff]+")
_MARKUP = re.compile(r"<[A-Za-z!/?]|&(?:#\d|#[xX]|[A-Za-z][A-Za-z0-9]*;)")
_GAP = re.compile(r"\n{3,}")


class Normalise(RecordStage):
    """Cleans texts, in this order: html, mend, control, unicode, whitespace. Doing it twice changes nothing more (without html and mend).

    What is empty then is dropped as `empty`. `record_id` stays what the reader gave.
    """

    kind: Literal["normalise"] = "normalise"
    unicode: Literal["NFC", "NFKC", "none"] = Field(
        default="NFC", description="NFC keeps looks and meaning; NFKC also folds ligatures, wide letters and x² to x2"
    )
    whitespace: Whitespace = Field(
        default=True,
        description="true: each run of white space becomes one space; lines: the same within lines, and at most one empty line between "
        "them (what the line rules of quality need); false: left alone",
    )
    mend: bool = Field(
        default=False, description="mend mojibake (text decoded with the wrong charset) and terminal escapes, with ftfy; quotes, ligatures and widths stay"
    )
    html: bool = Field(default=False, description="where there is markup: its visible text, one line per block")
    control: bool = Field(default=True, description="remove control characters (category Cc but white space) and byte order marks")

    def in_words(self) -> str:
        said = {
            "HTML to text": self.html,
            "mend mojibake": self.mend,
            "no control characters": self.control,
            f"Unicode {self.unicode}": self.unicode != "none",
            "white space collapsed, lines kept" if self.whitespace == "lines" else "white space collapsed": bool(self.whitespace),
        }
        return "normalise: " + (", ".join(words for words, on in said.items() if on) or "only drop empty texts")

    def needs(self) -> tuple[str, ...]:
        return ("package selectolax",) * self.html + ("package ftfy",) * self.mend

    def apply(self, batch: Batch, work: Work) -> None:  # noqa: ARG002 -- the contract of stages
        texts = batch.texts
        for step in self._steps():
            texts = [step(text) for text in texts]
        batch.columns["text"] = texts
        empty = {position: ("empty", "") for position, text in enumerate(texts) if not text or text.isspace()}
        batch.drop(empty, stage=self.kind)

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        if self.html:
            steps.append(without_markup)
        if self.mend:
            steps.append(mended)
        if self.control:
            steps.append(without_control)
        if self.unicode != "none":
            steps.append(_to_nfc if self.unicode == "NFC" else _to_nfkc)
        if self.whitespace:
            steps.append(collapsed_lines if self.whitespace == "lines" else collapsed)
        return steps


def without_control(text: str) -> str:
    # Most records are printable throughout, and that is quicker to see than that no control character is in it.
    return text if text.isprintable() else _CONTROL.sub("", text)


def collapsed(text: str) -> str:
    return " ".join(text.split())


def collapsed_lines(text: str) -> str:
    """Lines are what str.splitlines() takes for lines; two or more empty ones become one, which still ends a paragraph."""
    return _GAP.sub("\n\n", "\n".join([" ".join(line.split()) for line in text.splitlines()])).strip("\n")


def without_markup(text: str) -> str:
    """A text with neither tag nor character reference is not HTML and is left as it is: `a < b & c` stays."""
    return html_text(text) if _MARKUP.search(text) else text


def mended(text: str) -> str:
    # Mojibake has characters above ASCII, and terminal escapes are the only other thing that is mended.
    if text.isascii() and "\x1b" not in text:
        return text
    fix, how = _ftfy()
    return str(fix(text, how))


def _to_nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _to_nfkc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=1)
def _ftfy() -> tuple[Callable[[str, Any], str], Any]:
    """Only what undoes damage: the other fields say what becomes of markup, control characters and Unicode forms."""
    import ftfy

    how = ftfy.TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    return ftfy.fix_text, how
