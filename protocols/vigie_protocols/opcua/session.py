"""The thin adapter over asyncua: connect, read, write, subscribe; its exceptions become ours.

Only this module knows the library, since it renames things between releases.
"""

import asyncio
import hashlib
import logging
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary
from cryptography import x509

from vigie_protocols.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceTimeout,
    LinkDown,
    PermanentError,
    VigieError,
)
from vigie_protocols.gateway import Link, OpcUaSecurity
from vigie_protocols.opcua import plain
from vigie_protocols.opcua.nodes import to_datetime, to_utc
from vigie_protocols.opcua.plain import Got

# The library logs a traceback for every connection that breaks. We report each as an error of ours instead.
logging.getLogger("asyncua.client").setLevel(logging.CRITICAL)

TRANSIENT_CODES: Final = frozenset(
    {
        ua.StatusCodes.BadTimeout,
        ua.StatusCodes.BadTooManyOperations,
        ua.StatusCodes.BadServerHalted,
        ua.StatusCodes.BadResourceUnavailable,
        ua.StatusCodes.BadOutOfMemory,
        ua.StatusCodes.BadCommunicationError,
        ua.StatusCodes.BadNoCommunication,
        ua.StatusCodes.BadDeviceFailure,
        ua.StatusCodes.BadWaitingForInitialData,
    }
)
_STROKE: Final = re.compile(r"(?<!&)/")
_NUMBERED: Final = re.compile(r"\d+:")
_WHOLE_PATH: Final = 0xFFFFFFFF
"""No element of a path is left: another number means that it goes on in another server."""
UNSTAMPED: Final = ua.StatusCodes.BadWriteNotSupported
"""The answer of servers that take a value but not a source timestamp with it."""
TOO_MANY: Final = ua.StatusCodes.BadTooManyOperations

_SHORT: Final = (
    "_request_handle",
    "_request_id",
    "_callbackmap",
    "_connection",
    "authentication_token",
    "timeout",
)
"""Inner parts of the library that packed requests need; without them its own way is taken."""


def node_id(node: str, prefix: str, namespace: int) -> Any:
    """A profile's node as a NodeId; raises PermanentError when it is none."""
    text = node
    if not node.startswith(("ns=", "i=")):
        text = f"ns={namespace};s={prefix}{node.removeprefix('s=')}"
    try:
        return ua.NodeId.from_string(text)
    except ua.UaError as error:
        raise PermanentError(f"{text!r} is no node id: {error}") from None


def browse_path(path: str, namespace: int) -> Any:
    """A profile's browse path as the standard writes it (OPC 10000-4, A.2), its bare names in ``namespace``.

    Raises PermanentError for one that is none.
    """
    names = [part if _NUMBERED.match(part) else f"{namespace}:{part}" for part in _STROKE.split(path)[1:]]
    try:
        return ua.RelativePath.from_string("/" + "/".join(names))
    except (ValueError, ua.UaError) as error:
        raise PermanentError(f"{path!r} is no browse path: {error}") from None


def _one_end(result: Any) -> Any:
    """The node of a translated path; a path that fits several names none: a written point must not be a guess."""
    ends = {
        ua.NodeId(one.TargetId.Identifier, one.TargetId.NamespaceIndex, one.TargetId.NodeIdType)
        for one in result.Targets
        if one.RemainingPathIndex == _WHOLE_PATH
    }
    return ends.pop() if len(ends) == 1 else None


class ReadRequest:
    """A prepared Read of the values of some nodes, to be sent as often as wanted."""

    def __init__(self, nodes: Sequence[Any]) -> None:
        self.params = ua.ReadParameters()
        self.params.TimestampsToReturn = ua.TimestampsToReturn.Source
        value = ua.AttributeIds.Value
        self.params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=value) for node in nodes]
        self.body: bytes = struct_to_binary(self.params)
        self.count = len(nodes)


def write_value(node: Any, raw: Any, variant: str, array: bool, instant: float | None) -> bytes:
    """One write of a value with its source timestamp (UTC seconds), packed."""
    kind = ua.VariantType[variant]
    try:
        packed = plain.pack_variant(kind.value, array, raw)
    except (struct.error, OverflowError, TypeError):
        packed = None  # the library says what is wrong
    if packed is not None:
        ticks = None if instant is None else plain.filetime(instant)
        return plain.pack_write(nodeid_to_binary(node), plain.pack_value(packed, None, ticks))
    stamp = None if instant is None else to_datetime(instant)
    data = ua.DataValue(ua.Variant(raw, kind, is_array=array), StatusCode=None, SourceTimestamp=stamp)
    return bytes(struct_to_binary(ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=data)))


def got(value: Any) -> Got:
    """A DataValue of the library as ours."""
    status = 0 if value.StatusCode is None else value.StatusCode.value
    raw = None if value.Value is None else value.Value.Value
    return Got(raw, status, to_utc(value.SourceTimestamp))


class Session:
    """One connected client. Every method raises LinkDown, DeviceTimeout or DeviceRefused."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ua = client.uaclient
        self._short = all(hasattr(self._ua.protocol, name) for name in _SHORT)
        self._token: Any = None
        self._packed_token = b""

    @property
    def alive(self) -> bool:
        """False once the transport is gone."""
        protocol = self._ua.protocol
        return protocol is not None and not protocol.is_closed

    async def namespace(self, uri: str) -> int:
        """The number of a namespace; raises DeviceRefused when the server has no such."""
        known = await _ours(self._client.get_namespace_array(), "namespaces")
        if uri not in known:
            raise DeviceRefused(f"the server has no namespace {uri!r}, only {', '.join(known)}")
        return int(known.index(uri))

    async def translate(self, paths: Sequence[Any]) -> list[Any]:
        """The NodeId at the end of each path from the Objects folder, None where there is nothing, or more than one."""
        start = ua.NodeId(ua.ObjectIds.ObjectsFolder)
        asked = [ua.BrowsePath(StartingNode=start, RelativePath=path) for path in paths]
        results = await _ours(self._ua.session.translate_browsepaths_to_nodeids(asked), "browse")
        return [_one_end(row) if row.StatusCode.is_good() else None for row in results]

    async def read(self, request: ReadRequest) -> list[Got]:
        """One Read service call: a result per node."""
        results: list[Got] = await _ours(self._read(request), "read")
        return results

    async def _read(self, request: ReadRequest) -> list[Got]:
        if not self._short:
            return [got(row) for row in await self._ua.session.read(request.params)]
        answer = await self._exchange(plain.READ, request.body)
        found = plain.read_results(bytes(answer), request.count)
        if found is None:
            response = struct_from_binary(ua.ReadResponse, answer)
            response.ResponseHeader.ServiceResult.check()
            found = [got(row) for row in response.Results]
        return found

    async def write(self, values: Sequence[bytes]) -> list[int]:
        """One Write service call of values from ``write_value``: a status code each."""
        codes: list[int] = await _ours(self._write(values), "write")
        return codes

    async def _write(self, values: Sequence[bytes]) -> list[int]:
        body = plain.pack_rows(values)
        if not self._short:
            params = struct_from_binary(ua.WriteParameters, Buffer(body))
            return [status.value for status in await self._ua.session.write(params)]
        answer = await self._exchange(plain.WRITE, body)
        found = plain.write_results(bytes(answer), len(values))
        if found is None:
            response = struct_from_binary(ua.WriteResponse, answer)
            response.ResponseHeader.ServiceResult.check()
            found = [status.value for status in response.Results]
        return found

    async def _exchange(self, service: bytes, body: bytes) -> Any:
        """One request of packed parameters and its answer, as the library would send it itself."""
        protocol = self._ua.protocol
        if protocol is None or protocol.transport is None:
            raise ConnectionError("the connection is closed")
        if protocol.pre_request_hook:
            await protocol.pre_request_hook()
        if protocol.authentication_token is not self._token:
            self._token = protocol.authentication_token
            self._packed_token = nodeid_to_binary(self._token)
        protocol._request_handle += 1
        timeout_ms = round(protocol.timeout * 1000)
        header = plain.request_header(self._packed_token, protocol._request_handle, timeout_ms)
        number = protocol._request_id + 1
        protocol.revolve_security_token()
        message = protocol._connection.message_to_binary(service + header + body, request_id=number)
        protocol._request_id = number
        future = protocol._callbackmap[number] = asyncio.get_running_loop().create_future()
        protocol.transport.write(message)
        async with asyncio.timeout(protocol.timeout):
            answer = await future
        protocol.check_answer(answer, "")
        return answer

    async def subscribe(
        self,
        items: Sequence[tuple[Any, float, int]],
        publishing_s: float,
        notify: Callable[[list[tuple[int, Got]]], None],
        ended: Callable[[], None],
    ) -> list[int]:
        """Monitor (node, sampling seconds, queue size) items; a status code per item.

        ``notify`` gets (place of the item, its value) in the order of the notifications; ``ended`` is
        called when the server gives the subscription up while the session stands.
        """
        params = ua.CreateSubscriptionParameters()
        params.RequestedPublishingInterval = publishing_s * 1000
        params.RequestedLifetimeCount = 3000
        params.RequestedMaxKeepAliveCount = 100
        params.PublishingEnabled = True

        def received(result: Any) -> None:
            rows: list[tuple[int, Got]] = []
            for part in result.NotificationMessage.NotificationData or ():
                if isinstance(part, ua.DataChangeNotification):
                    rows.extend((item.ClientHandle, got(item.Value)) for item in part.MonitoredItems)
                elif isinstance(part, ua.StatusChangeNotification):
                    ended()
            if rows:
                notify(rows)

        created = await _ours(self._ua.session.create_subscription(params, received), "subscribe")
        request = ua.CreateMonitoredItemsParameters()
        request.SubscriptionId = created.SubscriptionId
        request.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.ItemsToCreate = [
            ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(
                    ClientHandle=place, SamplingInterval=sampling * 1000, QueueSize=queue, DiscardOldest=True
                ),
            )
            for place, (node, sampling, queue) in enumerate(items)
        ]
        results = await _ours(self._ua.session.create_monitored_items(request), "monitor")
        return [row.StatusCode.value for row in results]

    async def close(self, timeout_s: float) -> None:
        """End the session; a server that is gone is no reason to complain."""
        try:
            await asyncio.wait_for(_ours(self._client.disconnect(), "disconnect"), timeout_s)
        except (VigieError, TimeoutError):
            self._ua.disconnect_socket()


async def connect(link: Link) -> Session:
    """A new session with the server of ``link``."""
    client = Client(link.url or "", timeout=link.timeout_s, watchdog_intervall=max(5.0, link.timeout_s))
    client.name = client.description = "vigie"
    if link.username is not None:
        client.set_user(link.username)
        client.set_password(_password(link.password_file))
    if link.security is not None:
        await _secure(client, link.security)
    try:
        await _ours(client.connect(), "connect")
    except VigieError:
        client.uaclient.disconnect_socket()
        raise
    return Session(client)


def _password(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PermanentError(f"password file {path}: {error.strerror}") from None


async def _secure(client: Client, security: OpcUaSecurity) -> None:
    policy = getattr(security_policies, f"SecurityPolicy{security.policy}")
    mode = ua.MessageSecurityMode[security.mode]
    endpoints = await _ours(client.connect_and_get_server_endpoints(), "endpoints")
    trusted = {print_.replace(":", "").replace(" ", "").lower() for print_ in security.trust}
    found = ""
    for endpoint in endpoints:
        if endpoint.SecurityMode != mode or endpoint.SecurityPolicyUri != policy.URI:
            continue
        der = _first_certificate(endpoint.ServerCertificate)
        if trusted & {hashlib.sha256(der).hexdigest(), hashlib.sha1(der, usedforsecurity=False).hexdigest()}:
            client.application_uri = security.application_uri or _uri_of(security.certificate)
            await _ours(
                client.set_security(
                    policy,
                    str(security.certificate),
                    str(security.key),
                    server_certificate=uacrypto.CertProperties(der, extension="der"),
                    mode=mode,
                ),
                "security",
            )
            return
        found = hashlib.sha256(der).hexdigest()
    if found:
        raise DeviceRefused(f"the server's certificate {found} is not in trust")
    raise DeviceRefused(f"the server offers no {security.policy} {security.mode} endpoint")


def _first_certificate(chain: bytes) -> bytes:
    """The server's own certificate: the first of a chain of DER values one after another."""
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] < 0x80:
        return chain
    count = chain[1] & 0x7F
    return chain[: 2 + count + int.from_bytes(chain[2 : 2 + count], "big")]


def _uri_of(path: Path) -> str:
    """The application URI that our certificate names; the server compares the two."""
    try:
        data = path.read_bytes()
        pem = data.startswith(b"-----")
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
    except (OSError, ValueError, IndexError, x509.ExtensionNotFound) as error:
        raise PermanentError(f"certificate {path} names no application URI: {error}") from None


_BROKEN: Final = (
    struct.error, AssertionError, AttributeError, EOFError, LookupError, MemoryError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip


async def _ours(call: Any, what: str) -> Any:
    """Await a call of the library; its errors come out as ours."""
    try:
        return await call
    except TimeoutError:
        raise DeviceTimeout(f"{what}: no answer in time") from None
    except ua.UaStatusCodeError as error:
        code = error.code
        if code == TOO_MANY:
            raise DeviceBusy(f"{what}: too many operations in one request") from None
        if (
            code in TRANSIENT_CODES
            or "Connection" in type(error).__name__
            or "Session" in type(error).__name__
        ):
            raise LinkDown(f"{what}: {type(error).__name__}") from None
        raise DeviceRefused(f"{what}: {type(error).__name__}") from None
    except (OSError, ua.UaError) as error:
        raise LinkDown(f"{what}: {error or type(error).__name__}") from None
    except _BROKEN as error:
        # What the library raises from inside when a server's bytes make no sense.
        raise LinkDown(f"{what}: the answer makes no sense: {type(error).__name__}: {error}") from None


def code_name(code: int) -> str:
    """The name of a status code, as people look it up."""
    return str(ua.StatusCode(code).name)
