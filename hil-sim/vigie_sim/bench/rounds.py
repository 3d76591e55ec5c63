"""The bare reference of a lock-step tick: asyncua clients in processes of their own, paced round by round.

Each client reads 50 values in one call and writes 6 in one call, then says that it has; nothing else
happens. What a run with images, control, guards and journals reaches is to be seen beside this.
"""

import asyncio
import sys
import time
from typing import Any

READ = 50
WRITTEN = 6


async def bare_rounds(pairs: int, seconds: float) -> tuple[float, int]:
    """Rounds per second of ``pairs`` client and server pairs, and how many rounds that were."""
    waiting: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    pacer = await asyncio.start_server(lambda r, w: waiting.put_nowait((r, w)), "127.0.0.1", 0)
    port = pacer.sockets[0].getsockname()[1]
    servers = [await _server() for _ in range(pairs)]
    line = (sys.executable, "-m", "vigie_sim.bench.rounds")
    clients = [await asyncio.create_subprocess_exec(*line, url, str(port)) for _, url in servers]
    try:
        streams = [await asyncio.wait_for(waiting.get(), 60) for _ in clients]
        for reader, _ in streams:
            await reader.readexactly(1)  # connected
        rounds = 0
        begun = time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            for _, writer in streams:
                writer.write(b"g")
            for reader, _ in streams:
                await reader.readexactly(1)
            rounds += 1
        return rounds / (now - begun), rounds
    finally:
        for client in clients:
            client.terminate()
            await client.wait()
        pacer.close()
        for server, _ in servers:
            await server.stop()


async def _server() -> tuple[Any, str]:
    import logging
    import socket

    from asyncua import Server, ua

    logging.getLogger("asyncua.server").setLevel(logging.ERROR)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"opc.tcp://127.0.0.1:{probe.getsockname()[1]}/bare"
    server = Server()
    await server.init()
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for number in range(READ):
        node = await server.nodes.objects.add_variable(
            ua.NodeId(f"v{number}", 2), f"2:v{number}", float(number)
        )
        await node.set_writable()
    await server.start()
    return server, url


async def _client(url: str, port: int) -> None:
    import logging

    from asyncua import Client, ua

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with Client(url) as client:
        nodes = [client.get_node(ua.NodeId(f"v{number}", 2)) for number in range(READ)]
        writer.write(b"r")
        await reader.readexactly(1)
        count = 0.0
        while True:
            await client.read_values(nodes)
            await client.write_values(nodes[:WRITTEN], [count] * WRITTEN)
            count += 1.0
            writer.write(b"d")
            await reader.readexactly(1)


def _main() -> None:
    import contextlib
    import signal

    import uvloop

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        uvloop.run(_client(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    _main()
