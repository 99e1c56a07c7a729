"""Text out of whole documents: plain text, HTML, PDF, e-mail. Each gives (text, extra) or raises Fault."""

import codecs
import io
import logging
import re
from email import message_from_bytes, policy
from email.message import MIMEPart
from typing import Any

from stack.pipelines.readers.lines import BOM
from stack.pipelines.readers.models import Fault

Document = tuple[str, dict[str, Any]]

MAX_DOCUMENT_BYTES = 64 << 20
"""A larger file is left out: parsers hold a document several times over."""
DROPPED = "script,style,noscript,template,head,svg,iframe,object"
BLOCKS = (
    "address,article,aside,blockquote,br,caption,dd,div,dl,dt,fieldset,figcaption,figure,footer,form,h1,h2,h3,h4,h5,h6,header,hr,li,main,nav,ol,option,p,pre,section,"
    "table,td,th,title,tr,ul"
)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\f\v\u00a0]+")


def plain_document(data: bytes) -> Document:
    return decode_as(data.removeprefix(BOM), "utf-8"), {}


def html_document(data: bytes, charset: str = "") -> Document:
    """Visible text, one line per block. The charset is the byte order mark's, the caller's, the `meta` element's, or UTF-8."""
    declared = _META_CHARSET.search(data[:1024])
    name = charset or (declared.group(1).decode() if declared else "utf-8")
    return html_text(decode_as(data.removeprefix(BOM), "utf-8" if data.startswith(BOM) else name)), {}


def html_text(html: str) -> str:
    """The text of HTML: scripts and styles dropped, block elements become line breaks, runs of spaces one space."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(re.sub(r"\s+", " ", html.replace("\0", "")))
    for node in tree.css(DROPPED):
        node.decompose()
    for node in tree.css(BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    text = tree.root.text() if tree.root is not None else ""
    return "\n".join(line for line in (_SPACES.sub(" ", line).strip() for line in text.split("\n")) if line)


def pdf_document(data: bytes) -> Document:
    """Text of all pages. A scan without a text layer gives an empty text; one that needs a password is unreadable."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each odd object; what cannot be read is told as a fault
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Fault("unreadable", "the PDF is encrypted")
        pages = [page.extract_text() for page in reader.pages]
    except Fault:
        raise
    except Exception as error:  # a parser of strangers' files raises whatever they make it raise
        raise Fault("unreadable", f"PDF: {type(error).__name__}: {error}") from None
    text = "\n\n".join(pages).replace("\0", "").encode("utf-8", "ignore").decode()  # lone surrogates come from broken font maps
    return text, {"pages": len(pages)}


def eml_document(data: bytes) -> Document:
    """Subject, a blank line and the bodies, plain text before HTML; attachments are left out, never unpacked, and counted."""
    try:
        message = message_from_bytes(data, policy=policy.default)
        if not message.keys():
            raise Fault("malformed", "not an e-mail: no header")
        bodies, attachments = _bodies(message)
        subject = str(message.get("subject", "")).strip()
        text = "\n\n".join(_part_text(part) for part in bodies)
    except Fault:
        raise
    except Exception as error:  # as above: deep nesting, impossible headers
        raise Fault("unreadable", f"e-mail: {type(error).__name__}: {error}") from None
    whole = f"{subject}\n\n{text}" if subject else text
    return whole.replace("\r\n", "\n").replace("\0", "").encode("utf-8", "replace").decode(), {"attachments": attachments}


def _bodies(part: MIMEPart) -> tuple[list[MIMEPart], int]:
    """The parts that make the text, in their order, and how many parts are attachments; an attached message is one."""
    if not part.is_multipart():
        # What says multipart and has no parts lacks its boundary: it is read as the text it is.
        is_text = part.get_content_type() in {"text/plain", "text/html"} or part.get_content_maintype() == "multipart"
        return ([part], 0) if is_text and not part.is_attachment() else ([], 1)
    if part.get_content_maintype() != "multipart":
        return [], 1
    found = [_bodies(each) for each in part.iter_parts()]
    attachments = sum(count for _, count in found)
    if part.get_content_subtype() == "alternative":
        some = [texts for texts, _ in found if texts]
        plain = (texts for texts in some if any(each.get_content_type() == "text/plain" for each in texts))
        return next(plain, some[0] if some else []), attachments
    return [each for texts, _ in found for each in texts], attachments


def _part_text(part: MIMEPart) -> str:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    charset = part.get_content_charset("utf-8")
    return html_document(data, charset)[0] if part.get_content_type() == "text/html" else decode_as(data, charset)


def decode_as(data: bytes, charset: str) -> str:
    """Strict: a text in another charset than it says is a fault, never a row of question marks."""
    try:
        name = codecs.lookup(charset).name
        name = "cp1252" if name in {"ascii", "iso8859-1"} and not data.isascii() else name  # as every browser does
        return data.decode(name)
    except LookupError:
        return decode_as(data, "utf-8")
    except (UnicodeError, ValueError) as error:
        raise Fault("not_utf8", f"not valid {charset[:20]}: {getattr(error, 'reason', 'cannot be decoded')}") from None
