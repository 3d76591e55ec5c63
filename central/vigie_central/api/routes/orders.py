"""Commands to one gateway: leases and latched faults, signed by the coordinator, answered by the gateway."""

from fastapi import APIRouter

from vigie_central.api import models
from vigie_central.api.core import OPERATOR, PREFIX, CoreOf
from vigie_central.api.problems import Problematic

router = APIRouter(prefix=f"{PREFIX}/gateways", tags=["commands"])


@router.post("/{gateway}/commands", dependencies=[OPERATOR])
async def command(core: CoreOf, gateway: str, request: models.CommandRequest) -> models.CommandAnswer:
    """Send one command and wait for the gateway's answer, which may be a refusal.

    409 when the gateway is not connected: a command is for now, it is never kept for later.
    """
    if gateway not in core.policies.enrolled:
        raise Problematic(404, f"no gateway {gateway!r} is enrolled", "unknown-gateway")
    if not core.views.fleet.online(gateway):
        raise Problematic(409, f"{gateway} is not connected; nothing was sent", "offline")
    answer = await core.orders.send(gateway, request.holder, request.action, request.args)
    return models.CommandAnswer(ok=answer.ok, code=answer.code, reason=answer.reason, result=answer.result)
