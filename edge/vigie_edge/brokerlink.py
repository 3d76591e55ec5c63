"""How an uplink's part of a gateway file becomes a link to the broker; secrets are read here, once."""

from typing import Any

from vigie_protocols.gateway import Retry, Uplink
from vigie_protocols.mqttevents import LinkConfig
from vigie_protocols.mqttfiles import read_password, tls_context

_PACED: dict[str, Any] = {"first_delay": 0.1, "min_delay": 0.1, "max_delay": 1.0, "connect_timeout": 2.0}
"""In lock-step an hour lasts two minutes: connecting again may not take one of them."""


def _delays(retry: Retry) -> dict[str, Any]:
    return {"first_delay": retry.first_s, "min_delay": retry.first_s, "max_delay": retry.max_s}


def link_config(spec: Uplink, gateway: str, paced: bool) -> LinkConfig:
    """The link that ``spec`` names. Raises InputError for a password or certificate that cannot be read."""
    return LinkConfig(
        spec.host,
        spec.port,
        client_id=gateway,
        username=spec.username,
        password=read_password(spec.password_file),
        tls=None if spec.tls is None else tls_context(spec.tls),
        server_name=None if spec.tls is None else spec.tls.server_name,
        keepalive=spec.keepalive_s,
        **_PACED if paced else _delays(spec.retry),
    )
