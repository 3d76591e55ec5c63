"""What the API says, as types: the contract with the console, the commands and the simulator.

Times are UTC seconds since 1970 (float) unless a name ends in ``_ms``. Quality is 2 good, 1 uncertain,
0 bad. A point's name is ``device/point``; ``$node/...`` stands for the gateway's own metrics.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str | None


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid")


class Strictly(BaseModel):
    """Base of all requests: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


# -- fleet ------------------------------------------------------------------------------------------


class DeviceState(Answer):
    """A device of a gateway as its births and deaths tell it."""

    name: str
    online: bool
    since: float
    points: int


class Acked(Answer):
    """What is durable of a gateway: all of epoch ``epoch`` through ``through``, then ``ranges``."""

    epoch: int
    through: int
    ranges: list[tuple[int, int]] = []


class GatewayCounters(Answer):
    """Counts of one gateway since the store was made (stored, duplicates) or the process began (messages)."""

    messages: int = 0
    records_stored: int = 0
    samples_stored: int = 0
    events_stored: int = 0
    duplicates_dropped: int = 0
    missing: int = 0
    """Journal records below the highest stored index that have not come yet."""
    lost: int = 0
    """Journal records that the gateway declared lost for good."""
    births: int = 0
    deaths: int = 0
    rebirths_requested: int = 0
    refused_messages: int = 0
    acked: list[Acked] = []


class PolicyRef(Answer):
    """A document within a bundle."""

    id: str
    version: int
    kind: str


class Desired(Answer):
    """The bundle a gateway should run."""

    generation: int
    hash: str
    policies: list[PolicyRef] = []
    published: bool = False


class Reported(Answer):
    """What a gateway says that it runs; ``raw`` is its last report as received."""

    state: str
    generation: int | None = None
    hash: str | None = None
    effective_hash: str | None = None
    code: str | None = Field(None, description="stable word of a refusal, such as older-generation")
    reason: str | None = Field(None, description="why it refused, in words")
    utc: float
    raw: dict[str, Any] = {}


class GatewayState(Answer):
    """A gateway's twin in short. ``online`` is Sparkplug's word; ``stale``: its values are old."""

    id: str
    group: str
    district: str | None = None
    enrolled: bool = False
    online: bool = False
    stale: bool = True
    since: float = 0.0
    devices: list[DeviceState] = []
    counters: GatewayCounters = GatewayCounters()
    desired: Desired | None = None
    reported: Reported | None = None
    in_step: bool | None = Field(None, description="reported generation and hash equal the desired ones")


class Gateways(Answer):
    """The fleet."""

    gateways: list[GatewayState]


class PointValue(Answer):
    """The last value of one point."""

    gateway: str
    point: str
    value: Value
    quality: int
    utc: float
    stale: bool = False
    unit: str | None = None


class Points(Answer):
    """Last values; ``more`` is true when ``limit`` cut the list."""

    points: list[PointValue]
    more: bool = False


# -- history ----------------------------------------------------------------------------------------


class Samples(Answer):
    """Rows of ``[utc, value, quality]`` in time order."""

    gateway: str
    point: str
    samples: list[tuple[float, Value, int]]
    more: bool = False


class Buckets(Answer):
    """Rows of ``[utc of the bucket's start, min, mean, max, last, count]`` over numbers and booleans."""

    gateway: str
    point: str
    width_s: float
    buckets: list[tuple[float, float | None, float | None, float | None, float | None, int]]


class Event(Answer):
    """Something that happened at a gateway, as it told it."""

    gateway: str
    utc: float
    kind: str
    body: dict[str, Any]
    seq: int = Field(description="the coordinator's own running number, for paging")


class Events(Answer):
    """Events, newest first."""

    events: list[Event]
    more: bool = False


class Alarm(Answer):
    """An alarm that stands (ISA-18.2: raised and not yet back to normal)."""

    gateway: str
    key: str
    severity: str
    since: float
    text: str
    body: dict[str, Any] = {}


class Alarms(Answer):
    """Active alarms, newest first."""

    alarms: list[Alarm]


class Counters(Answer):
    """Counts per gateway and in all, for the report: lost = published - stored, duplicated = rows - keys."""

    gateways: dict[str, GatewayCounters]
    samples_stored: int
    duplicate_rows: int | None = Field(
        None, description="rows minus distinct keys, counted with ?verify=true; must be 0"
    )
    duplicates_dropped: int
    pending: int = Field(description="messages received and not yet committed; 0 after a drain")


# -- policies ---------------------------------------------------------------------------------------


class ValidateRequest(Strictly):
    """A document to check without keeping it."""

    document: dict[str, Any]
    file: str = "document"


class Finding(Answer):
    """One thing wrong with a document."""

    field: str
    value: str
    reason: str
    remedy: str


class Validation(Answer):
    """Whether a document would be taken, and to which gateways its scope applies."""

    valid: bool
    problems: list[Finding] = []
    gateways: list[str] = []


class CommandRequest(Strictly):
    """One command. holder: who answers for it; args: as the action defines them (docs/reference/coordinator.md)."""

    action: Literal[
        "lease.take",
        "lease.renew",
        "lease.release",
        "lease.list",
        "fault.list",
        "fault.reset",
        "alarm.list",
        "effective",
        "policy.show",
    ]
    holder: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")
    args: dict[str, Any] = {}


class CommandAnswer(Answer):
    """What the gateway said. ok false: refused, with a stable code and a sentence."""

    ok: bool
    code: str = ""
    reason: str = ""
    result: dict[str, Any] = {}


class PushRequest(Strictly):
    """A signed document (DSSE envelope as JSON) and the scope it is pushed to."""

    envelope: dict[str, Any]
    scope: str = Field(description="city, district:NAME or site:GATEWAY; must be the document's own")


class Pushed(Answer):
    """What a push did: the document kept and the bundles made of it."""

    id: str
    version: int
    hash: str
    bundles: dict[str, Desired]


class PolicyRow(Answer):
    """A document in the store."""

    id: str
    version: int
    kind: str
    scope: str
    hash: str
    key_id: str
    pushed_at: float
    state: Literal["current", "superseded", "withdrawn"]
    document: dict[str, Any]


class Policies(Answer):
    """Documents, newest first."""

    policies: list[PolicyRow]


class GatewayPolicyStatus(Answer):
    """Desired against reported."""

    gateway: str
    desired: Desired | None
    reported: Reported | None
    in_step: bool


class PolicyStatus(Answer):
    """Per gateway."""

    gateways: list[GatewayPolicyStatus]


# -- problems (RFC 9457) ----------------------------------------------------------------------------


class ProblemItem(Answer):
    """One wrong field of a request."""

    field: str
    value: str = ""
    reason: str
    remedy: str = ""


class ProblemDetails(Answer):
    """``application/problem+json``: every error of the API has this shape."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str | None = None
    problems: list[ProblemItem] = []
