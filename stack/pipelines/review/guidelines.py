"""Guidelines for the reviewers: a Markdown file or text, made into HTML that can load and run nothing."""

from pathlib import Path

from markdown_it import MarkdownIt

from stack.pipelines.errors import PipelineError

MAX_BYTES = 1 << 20


def read_guidelines(given: str | None) -> str:
    """HTML of the file that `given` names, or of `given` itself when it names none; empty without it."""
    if given is None:
        return ""
    named = given.endswith((".md", ".markdown", ".txt")) and "\n" not in given
    if not named:
        return render(given)
    path = Path(given)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PipelineError(f"--guidelines {path} has more than {MAX_BYTES} bytes: shorten it")
        return render(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"--guidelines {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PipelineError(f"--guidelines {path} is not UTF-8: save it as such") from None


def render(markdown: str) -> str:
    """CommonMark with tables; raw HTML is shown as text, images become links, `javascript:` links stay text."""
    reader = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")
    return str(reader.render(markdown))
