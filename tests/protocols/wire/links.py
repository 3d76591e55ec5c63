"""Drives MQTT links by one select loop until something has happened; a wall limit ends what never will."""

import select
import time
from collections.abc import Callable
from typing import TypeVar

from vigie_protocols.mqttevents import LinkConfig, LinkEvent, LinkState, Will
from vigie_protocols.mqttlink import MqttLink

WALL = 30.0
E = TypeVar("E")


class Client:
    """A link and all it has told."""

    def __init__(self, port: int, name: str, will: Will | None = None, **config: object) -> None:
        settings = {"first_delay": 0.0, "min_delay": 0.01, **config}
        self.link = MqttLink(
            LinkConfig("127.0.0.1", port, name, **settings),  # type: ignore[arg-type]
            time.monotonic,
            lambda: 0.5,
            lambda: will,
        )
        self.events: list[LinkEvent] = []
        self.link.start()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def take(self, kind: type[E]) -> list[E]:
        """The events of a kind so far, taken out."""
        taken = self.all(kind)
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return taken


def serve(clients: list[Client], timeout: float) -> None:
    """One turn of the loop."""
    readers, writers = {}, {}
    now = time.monotonic()
    for client in clients:
        number = client.link.fileno()
        if number is not None:
            readers[number] = client
            if client.link.want_write():
                writers[number] = client
        due = client.link.deadline()
        if due is not None:
            timeout = min(timeout, max(0.0, due - now))
    readable, writable, _ = select.select(list(readers), list(writers), [], timeout)
    for number in readable:
        readers[number].events += readers[number].link.on_readable()
    for number in writable:
        writers[number].events += writers[number].link.on_writable()
    for client in clients:
        client.events += client.link.housekeeping()


def until(wanted: Callable[[], object], *clients: Client, also: Callable[[], None] | None = None) -> None:
    """Serve the clients until ``wanted`` holds; ``also`` runs each turn."""
    limit = time.monotonic() + WALL
    while not wanted():
        if time.monotonic() > limit:
            told = [(client.link.state, client.events[-3:]) for client in clients]
            raise AssertionError(f"nothing happened within {WALL} s: {told}")
        serve(list(clients), 0.02 if also else 0.5)
        if also is not None:
            also()


def close(*clients: Client) -> None:
    """Close the clients and wait until their sockets are gone."""
    for client in clients:
        client.events += client.link.close()
    until(lambda: all(client.link.state is LinkState.IDLE for client in clients), *clients)
