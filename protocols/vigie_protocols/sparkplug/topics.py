"""Topic names of Sparkplug B 3.0: ``spBv1.0/group/VERB/node[/device]`` and ``spBv1.0/STATE/host``."""

import re
from enum import StrEnum
from functools import lru_cache

import msgspec

from vigie_protocols.errors import FrameError

NAMESPACE = "spBv1.0"
MAX_TOPIC = 512
"""Characters in a topic we accept; the specification sets no limit of its own."""


class Verb(StrEnum):
    """The message types of version 3.0."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"
    STATE = "STATE"


NODE_VERBS = frozenset((Verb.NBIRTH, Verb.NDEATH, Verb.NDATA, Verb.NCMD))
DEVICE_VERBS = frozenset((Verb.DBIRTH, Verb.DDEATH, Verb.DDATA, Verb.DCMD))
_ID = re.compile(rf"[^+/#\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_TOPIC}}}")
_VERBS: dict[str, Verb] = {verb.value: verb for verb in Verb}


class Topic(msgspec.Struct, frozen=True):
    """A parsed topic. A STATE topic has the host in ``node`` and an empty ``group``."""

    verb: Verb
    group: str
    node: str
    device: str = ""

    def __str__(self) -> str:
        if self.verb is Verb.STATE:
            return f"{NAMESPACE}/STATE/{self.node}"
        stem = f"{NAMESPACE}/{self.group}/{self.verb.value}/{self.node}"
        return f"{stem}/{self.device}" if self.device else stem


def check_id(word: str) -> str:
    """``word`` when it may stand in a topic; raises FrameError when not.

    A group, node, device or host id is not empty and holds no ``+``, ``/``, ``#``, no control character and
    no half of a surrogate pair (tck-id-topic-structure-namespace-valid-group-id, -edge-node-id, -device-id;
    tck-id-intro-group-id-chars and its like; MQTT 5, 1.5.4).
    """
    if not _ID.fullmatch(word):
        raise FrameError(
            f"{word[:80]!r} may not stand in a Sparkplug topic"
            " (empty, too long, or holds one of + / # or a control character)"
        )
    return word


def node_topic(verb: Verb, group: str, node: str) -> str:
    """The topic of a message of an edge node."""
    if verb not in NODE_VERBS:
        raise ValueError(f"{verb} is not a message of an edge node")
    return f"{NAMESPACE}/{check_id(group)}/{verb.value}/{check_id(node)}"


def device_topic(verb: Verb, group: str, node: str, device: str) -> str:
    """The topic of a message of a device."""
    if verb not in DEVICE_VERBS:
        raise ValueError(f"{verb} is not a message of a device")
    return f"{NAMESPACE}/{check_id(group)}/{verb.value}/{check_id(node)}/{check_id(device)}"


def state_topic(host: str) -> str:
    """The topic of a host application's state."""
    return f"{NAMESPACE}/STATE/{check_id(host)}"


@lru_cache(maxsize=16384)
def parse_topic(topic: str) -> Topic:
    """The parts of a Sparkplug topic; raises FrameError when it is none. Cached: topics repeat."""
    parts = topic.split("/") if len(topic) <= MAX_TOPIC else []
    if len(parts) < 3 or parts[0] != NAMESPACE or not all(map(_ID.fullmatch, parts)):
        raise FrameError(f"not a Sparkplug topic: {topic[:80]!r}")
    if parts[1] == "STATE" and len(parts) == 3:
        return Topic(Verb.STATE, "", parts[2])
    verb = _VERBS.get(parts[2])
    if (verb in NODE_VERBS and len(parts) == 4) or (verb in DEVICE_VERBS and len(parts) == 5):
        assert verb is not None
        return Topic(verb, parts[1], parts[3], parts[4] if len(parts) == 5 else "")
    raise FrameError(f"not a Sparkplug topic: {topic[:80]!r}")
