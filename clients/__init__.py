"""What talks to people and machines: the websocket protocol and its typed client, and the server's side of both.

    from llama_vid.clients import Client
    async with Client.connect("http://127.0.0.1:8710") as client:
        async for piece in client.ask("front", "What has happened so far?"):
            print(piece, end="", flush=True)

Importing this package loads neither torch, transformers, av nor fastapi.
"""

from llama_vid.clients.client import Client
from llama_vid.clients.protocol import Evidence, ResponseDone, StreamStatus, Usage

__all__ = ["Client", "Evidence", "ResponseDone", "StreamStatus", "Usage"]
