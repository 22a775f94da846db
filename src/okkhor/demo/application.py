"""`make_application`: the page on which a person draws a grapheme and sees what is read, for this machine alone.

Other pages can't use it: their requests carry another Host, or need a permission that it never gives.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from okkhor.errors import InputError
from okkhor.pipeline.reader import Reader, load_scan
from okkhor.rendering.fonts import draw_outline, read_shown_components
from okkhor.schema import HEADS

HOST = "127.0.0.1"
MOST_PIXELS = 1_000_000  # of a drawing; the page's sheet has 708 x 411
LARGEST_DRAWING = 500_000  # bytes; a sheet full of strokes has 50,000
SHORTEST_PAUSE = 0.2  # seconds between two drawings
PAGE = Path(__file__).parent / "page"

Answer = Callable[[bytes], Mapping[str, object]]
"""A PNG -> what the page shows, ready for JSON. Raises InputError for a drawing that can't be read."""


def make_application(answer: Answer) -> Starlette:
    """Serve PAGE, and POST /read, which answers one drawing at a time."""
    turn, last = asyncio.Lock(), 0.0

    async def read(request: Request) -> JSONResponse:
        nonlocal last
        if request.headers.get("content-type") != "image/png":  # a form of another page can't send that
            return refuse(415, "Expected image/png.")
        if turn.locked() or time.monotonic() - last < SHORTEST_PAUSE:
            return refuse(429, "Too many drawings at once.")
        async with turn:
            last = time.monotonic()
            drawing = await receive(request)
            if drawing is None:
                return refuse(413, f"A drawing has at most {LARGEST_DRAWING:,} bytes.")
            try:
                return JSONResponse(await run_in_threadpool(answer, drawing))
            except InputError as error:
                return refuse(422, str(error))

    return Starlette(
        routes=[Route("/read", read, methods=["POST"]), Mount("/", StaticFiles(directory=PAGE, html=True))],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
    )


def refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


async def receive(request: Request) -> bytes | None:
    """The body; None if it is larger than LARGEST_DRAWING. The rest is not read."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_DRAWING:
            return None
    return bytes(content)


def answer(reader: Reader, png: bytes) -> dict[str, object]:
    """Read a drawing. Returns its text, the class of each head and the likeliest graphemes, ready for JSON."""
    (reading,) = reader.read([load_scan(BytesIO(png), MOST_PIXELS)])
    heads = []
    for head, texts in zip(HEADS, read_shown_components(), strict=True):
        label = reading.labels[head.name]
        shown = show(texts[label], float(reading.probabilities[head.name][label]))
        heads.append(shown | {"name": head.name.replace("_", " "), "label": label})
    guesses = [show(guess.text, guess.probability) for guess in reading.guesses]
    return {"text": reading.text, "heads": heads, "guesses": guesses}


def show(text: str, probability: float) -> dict[str, object]:
    """A text with its outline: the machine may have no Bengali font."""
    path, width = draw_outline(text) or ("", 0)
    return {"text": text, "path": path, "width": width, "probability": probability}
