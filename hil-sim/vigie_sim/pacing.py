"""The simulator's end of lock-step: agents connect, each tick is granted to all and awaited from all."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vigie_protocols.errors import FrameError, LinkDown, TransientError
from vigie_protocols.framing import read_frame
from vigie_protocols.lockstep import Done, Grant, Hello, Staged, Stop, decode, encode


class AgentLost(TransientError):
    """An agent did not answer within the wall limit, or its connection ended."""


@dataclass
class _Agent:
    name: str
    writer: asyncio.StreamWriter
    done: asyncio.Event = field(default_factory=asyncio.Event)
    last: Done | None = None
    staged: int = 0
    gone: str = ""


class LockstepServer:
    """Listens on loopback. wall_limit_s: how long an agent may take for anything."""

    def __init__(self, wall_limit_s: float = 60.0) -> None:
        self.wall_limit_s = wall_limit_s
        self.address = ""
        self._server: asyncio.Server | None = None
        self._agents: dict[str, _Agent] = {}
        self._changed = asyncio.Condition()

    async def start(self) -> str:
        """Listen; returns HOST:PORT for the agents' ``--lockstep``."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.address

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent: _Agent | None = None
        try:
            hello = decode(await read_frame(reader))
            if not isinstance(hello, Hello):
                return
            agent = _Agent(hello.gateway, writer)
            self._agents[hello.gateway] = agent
            await self._notify()
            while True:
                message = decode(await read_frame(reader))
                if isinstance(message, Done):
                    agent.last = message
                    agent.staged = max(agent.staged, message.staged)
                    agent.done.set()
                elif isinstance(message, Staged):
                    agent.staged = max(agent.staged, message.generation)
                    await self._notify()
        except (LinkDown, FrameError) as error:
            if agent is not None:
                agent.gone = str(error)
                agent.done.set()
        finally:
            writer.close()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_agents(self, names: Iterable[str]) -> None:
        """Until every named agent has said hello; raises AgentLost naming those that did not."""
        wanted = set(names)
        try:
            async with asyncio.timeout(self.wall_limit_s), self._changed:
                await self._changed.wait_for(lambda: wanted <= set(self._agents))
        except TimeoutError:
            missing = ", ".join(sorted(wanted - set(self._agents)))
            raise AgentLost(f"no hello from {missing} in {self.wall_limit_s:.0f} s") from None

    async def tick(self, grant: Grant) -> Mapping[str, Done]:
        """Grant one tick to all and wait for all; raises AgentLost naming who did not answer."""
        message = encode(grant)
        agents = list(self._agents.values())
        for agent in agents:
            agent.done.clear()
            if not agent.gone:
                agent.writer.write(message)
        answers: dict[str, Done] = {}
        for agent in agents:
            answers[agent.name] = await self._answer(agent, grant.tick)
        return answers

    async def _answer(self, agent: _Agent, tick: int) -> Done:
        if not agent.done.is_set():
            try:
                async with asyncio.timeout(self.wall_limit_s):
                    await agent.done.wait()
            except TimeoutError:
                raise AgentLost(
                    f"{agent.name} did not finish tick {tick} in {self.wall_limit_s:.0f} s"
                ) from None
        if agent.gone or agent.last is None or agent.last.tick != tick:
            raise AgentLost(
                f"{agent.name} is gone at tick {tick}: {agent.gone or 'it answered another tick'}"
            )
        return agent.last

    async def wait_staged(self, generations: Mapping[str, int]) -> None:
        """Until every named gateway has staged at least that generation; raises AgentLost."""

        def all_staged() -> bool:
            return all(self._agents[name].staged >= generation for name, generation in generations.items())

        try:
            async with asyncio.timeout(self.wall_limit_s), self._changed:
                await self._changed.wait_for(all_staged)
        except TimeoutError:
            late = [name for name, wanted in generations.items() if self._agents[name].staged < wanted]
            raise AgentLost(
                f"policies not staged in {self.wall_limit_s:.0f} s by {', '.join(late)}"
            ) from None

    async def stop(self, reason: str) -> None:
        """Tell all agents that the run is over, and close."""
        for agent in self._agents.values():
            if not agent.gone:
                agent.writer.write(encode(Stop(reason)))
        if self._server is not None:
            self._server.close()
