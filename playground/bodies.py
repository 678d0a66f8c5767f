"""How much may a request carry? Django reads every body whole before a page sees it; what is too long ends here."""

from __future__ import annotations

from typing import Any


class LimitedBodies:
    """Answers 413 to a body of more than `most` bytes, announced or not, and stops reading it."""

    def __init__(self, application: Any, most: int) -> None:
        self.application = application
        self.most = most

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        announced = dict(scope.get("headers", [])).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.most:
            await self._refuse(send)
            return
        seen, refused, begun = 0, False, False

        async def counted() -> dict:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= self.most:
                return message
            if not refused and not begun:
                await self._refuse(send)
            refused = True
            return {"type": "http.disconnect"}  # Django gives up on it

        async def unless_refused(message: dict) -> None:
            nonlocal begun
            begun = True
            if not refused:
                await send(message)

        await self.application(scope, counted, unless_refused)

    async def _refuse(self, send: Any) -> None:
        text = f"A request may carry at most {self.most // 1_000_000} MB.".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": text})
