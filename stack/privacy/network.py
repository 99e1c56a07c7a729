"""E-mail addresses, IP and MAC addresses, credentials in URLs: each search starts at a character that most texts lack."""

import ipaddress
import re
from collections.abc import Iterator

from stack.privacy.spans import Span

_LOCAL_MOST = 64
"""Characters before the @ (RFC 5321, 4.5.3.1.1)."""
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+\Z")
_DOMAIN = re.compile(r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_][\w-]{0,61}[^\W_]")
_V4 = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_VERSION = re.compile(r"(?:\b(?:v|ver|version|versi|versión|versão|release|build|firmware|section|chapter|kernel|driver)[ .:=]*|[\w.-])\Z", re.IGNORECASE)
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_HYPHENS = re.compile(r"-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-")
_ADDRESS_BEFORE = re.compile(r"[0-9A-Fa-f:]{0,40}\Z")
_ADDRESS = re.compile(r"[0-9A-Fa-f:]*:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![:\-\w])")
_USER = re.compile(r"://([^\s/@:\x00<>\"']+(?::[^\s/\x00<>\"']*)?)@")


def emails(text: str) -> Iterator[Span]:
    """local@domain, letters of any script (RFC 6531); quoted local parts and bare host names are not looked for."""
    at, last = text.find("@"), 0
    while at >= 0:
        local, domain = _LOCAL.search(text, max(last, at - _LOCAL_MOST), at), _DOMAIN.match(text, at)
        if local and domain:
            start = local.start() + len(local[0]) - len(local[0].lstrip(".'`*/=~{|"))
            if start < at and text[at - 1] != ".":
                last = domain.end()
                yield Span(start, last, "email", "", "address", 0.97)
        at = text.find("@", at + 1)


def ip_addresses(text: str) -> Iterator[Span]:
    """IPv4 of four parts up to 255 that no version word precedes and no fifth part follows; IPv6 with at least two colons."""
    if text.count(".") > 2:
        for match in _V4.finditer(text):
            start, end = match.span()
            after = text[end : end + 2]
            if (
                _is_ip(match[0])
                and not (after[:1].isalnum() or (after[:1] in (".", "-") and after[1:].isalnum()))
                and not _VERSION.search(text, max(0, start - 12), start)
            ):
                yield Span(start, end, "ip", "", "ipv4", 0.95)
    last = 0
    for match in _COLONS.finditer(text):
        if match.start() < last:
            continue
        before = _ADDRESS_BEFORE.search(text, max(0, match.start() - 40), match.start())
        start = before.start() if before else match.start()
        found = _ADDRESS.match(text, start)
        if found and (start == 0 or not text[start - 1].isalnum()):
            value = found[0].rstrip(":") if not found[0].endswith("::") else found[0]
            last = found.end()
            if len(value) > 4 and not text[last : last + 1].isalnum() and _is_ip(value):  # "::" and "a::" are more often code than addresses
                yield Span(start, start + len(value), "ip", "", "ipv6", 0.96)


def mac_addresses(text: str) -> Iterator[Span]:
    """Six pairs of hexadecimal digits, all parted by colons or all by hyphens."""
    for anchor, pattern in ((":", _COLONS), ("-", _HYPHENS)):
        if anchor not in text:
            continue
        for match in pattern.finditer(text):
            found = _MAC.match(text, max(0, match.start() - 2))
            if found and (found.start() == 0 or not (text[found.start() - 1].isalnum() or text[found.start() - 1] in ":-")):
                yield Span(found.start(), found.end(), "mac", "", "eui48", 0.97)


def url_users(text: str) -> Iterator[Span]:
    """User and password between :// and @."""
    if "://" in text:
        for match in _USER.finditer(text):
            yield Span(match.start(1), match.end(1), "url_user", "", "credentials", 1.0)


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
