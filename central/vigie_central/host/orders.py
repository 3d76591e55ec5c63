"""Signed commands on their way to a gateway, and the gateway's answer to each."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection

from vigie_central.store import audit
from vigie_central.store.records import Records
from vigie_protocols import channel
from vigie_protocols.envelope import sign
from vigie_protocols.errors import LinkDown, Refused
from vigie_protocols.keys import SigningKey

log = structlog.get_logger("vigie.orders")
ANSWER_S = 15.0
"""Seconds a gateway has to answer."""
VALID_S = 60.0
"""Seconds for which a command may be carried out: a late one must not surprise anybody in the street."""
MAX_OPEN = 256


class Orders:
    """Sends commands and waits for their answers.

    publish(topic, payload) sends at QoS 1, not retained, and says whether it could. Every command is in the
    audit before it leaves, with its answer after it.
    """

    def __init__(self, records: Records, key: SigningKey, publish: Callable[[str, bytes], bool]) -> None:
        self._records = records
        self._key = key
        self._publish = publish
        self._open: dict[str, tuple[str, asyncio.Future[channel.Response]]] = {}

    async def send(self, gateway: str, holder: str, action: str, args: dict[str, Any]) -> channel.Response:
        """The gateway's answer, yes or no. Raises Refused, FrameError, LinkDown when there is none in time."""
        if len(self._open) >= MAX_OPEN:
            raise Refused(
                "too-many",
                f"{MAX_OPEN} commandes attendent déjà leur réponse / "
                f"{MAX_OPEN} commands wait for their answers already",
            )
        nonce = secrets.token_hex(16)
        command = channel.Command(gateway, nonce, time.time() + VALID_S, holder, action, args)
        payload = sign(channel.PAYLOAD_TYPES["command"], channel.encode(command), [self._key])
        await self._note(gateway, holder, "command.send", {"nonce": nonce, "action": action, "args": args})
        answer: asyncio.Future[channel.Response] = asyncio.get_running_loop().create_future()
        self._open[nonce] = (gateway, answer)
        try:
            if not self._publish(channel.topic(gateway, channel.CMD), payload):
                raise LinkDown(
                    "le courtier MQTT ne prend pas la commande, rien n'est parti / "
                    "the broker does not take the command now; nothing was sent"
                )
            async with asyncio.timeout(ANSWER_S):
                response = await answer
        except TimeoutError:
            await self._note(gateway, holder, "command.unanswered", {"nonce": nonce})
            raise LinkDown(
                f"{gateway} n'a pas répondu en {ANSWER_S:.0f} s et peut encore exécuter la commande pendant "
                f"{VALID_S:.0f} s après son envoi : vérifier avant de la renvoyer / "
                f"{gateway} has not answered in {ANSWER_S:.0f} s; it may still carry the command out "
                f"within {VALID_S:.0f} s of its sending: look before you send it again"
            ) from None
        finally:
            self._open.pop(nonce, None)
        told = {"nonce": nonce, "ok": response.ok, "code": response.code, "reason": response.reason}
        await self._note(gateway, holder, "command.answer", told)
        return response

    def take_response(self, gateway: str, response: channel.Response) -> None:
        """An answer came; one that nobody waits for, or another gateway's, changes nothing."""
        asked, answer = self._open.get(response.nonce, ("", None))
        if answer is None or asked != gateway:
            log.info("answer to no open command", gateway=gateway, nonce=response.nonce)
        elif not answer.done():
            answer.set_result(response)

    async def _note(self, gateway: str, holder: str, what: str, body: dict[str, Any]) -> None:
        def work(connection: Connection) -> None:
            audit.append(connection, time.time(), holder, what, gateway, body)

        await self._records.run(work)
