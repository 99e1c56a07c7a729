"""The policy service's answers without its server: an httpx client whose requests go straight to the function that answers."""

import asyncio

import httpx

from stack.serving.policy_app import Answerer, Asked


class _Straight(httpx.BaseTransport):
    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        asked = Asked(request.method, path.decode(), query, headers, request.read())
        status, told, content = asyncio.run(_now(self._answerer, asked))
        return httpx.Response(status, headers=told, content=content)


async def _now(answerer: Answerer, asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
    return await answerer(asked, lambda: False)


def policy_client(answerer: Answerer) -> httpx.Client:
    """Its requests are answered one after the other, and whoever asks never leaves."""
    return httpx.Client(transport=_Straight(answerer), base_url="http://policy")
