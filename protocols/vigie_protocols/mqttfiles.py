"""The files that an MQTT connection needs: a password, certificates. Read when it is made, named when they are ill."""

import ssl
from pathlib import Path

from vigie_protocols.errors import PermanentError
from vigie_protocols.gateway import Tls


def read_password(file: Path | None) -> str | None:
    """The password that stands in ``file``; raises PermanentError when it cannot be read."""
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PermanentError(f"password file {file}: {error.strerror}") from None


def tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS settings of a connection as a context; raises PermanentError when a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=None if tls.authority is None else str(tls.authority))
        if tls.certificate is not None:
            context.load_cert_chain(str(tls.certificate), None if tls.key is None else str(tls.key))
    except (OSError, ssl.SSLError) as error:
        raise PermanentError(f"TLS files: {error}") from None
    return context
