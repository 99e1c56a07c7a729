"""Whom a client of an https endpoint trusts, and why it did not trust a server (edge: reads the file)."""

import ssl
from pathlib import Path

from stack.serving.errors import ServingError

OTHER_NAME = frozenset({62, 64})
"""OpenSSL's codes of a good certificate for another name or address."""


def trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    """Trusts the PEM certificates in a file and no others; None, for the public authorities, without a file. ServingError when there are none in it."""
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError:
        raise ServingError(f"CA file {ca_file} holds no PEM certificates: give those of the authority that signed the server's") from None
    except OSError as error:
        raise ServingError(f"CA file {ca_file} cannot be read: {error.strerror}") from None


def why_distrusted(error: BaseException) -> str | None:
    """In words, with the mend, where a server's certificate is what lies behind an error of a connection; None where it is not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = str(cause.verify_message).rstrip(".")
            mend = "ask it by a name that its certificate has" if cause.verify_code in OTHER_NAME else "a CA file names the authority to trust (--ca-file)"
            return f"certificate not trusted: {reason}: {mend}"
        cause = cause.__cause__ or cause.__context__
    return None
