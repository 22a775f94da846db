"""./run.sh demo [run=<run>]: a page on this machine, where a person draws a grapheme and sees what is read."""

import socket
from collections.abc import Mapping, Sequence
from io import BytesIO

from okkhor.errors import ConfigError, check_extra
from okkhor.pipeline.reader import Reader, Reading, load_scan, open_reader
from okkhor.pipeline.run import name_run
from okkhor.rendering.outlines import draw_outline, read_shown_components
from okkhor.schema import HEADS
from okkhor.settings import load_arguments

MOST_PIXELS = 1_000_000  # of a drawing; the page's sheet has 708 x 411


def main(arguments: Sequence[str]) -> None:
    check_extra("demo", "starlette", "uvicorn")
    from uvicorn import Config, Server  # an extra

    from okkhor.demo.application import HOST, make_application

    name = name_run(arguments)
    settings = load_arguments(arguments)
    reader = open_reader(name, settings.fold, arguments)
    application = make_application(lambda png: answer(reader, png))
    server = Server(Config(application, log_level="warning", server_header=False))
    with listen(HOST, settings.demo.port) as listener:
        print(f"Draw at http://{HOST}:{listener.getsockname()[1]}/ with {name}, until Ctrl-C.")
        server.run([listener])


def listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(f"demo.port={port}: {error.strerror}. Set another, or 0 for any that is free.") from error


def answer(reader: Reader, png: bytes) -> Mapping[str, object]:
    """What the page shows of a drawing."""
    return describe(reader.read([load_scan(BytesIO(png), MOST_PIXELS)])[0])


def describe(reading: Reading) -> dict[str, object]:
    heads = []
    for head, texts in zip(HEADS, read_shown_components(), strict=True):
        label = reading.labels[head.name]
        heads.append(
            show(texts[label], float(reading.probabilities[head.name][label]))
            | {"name": head.name.replace("_", " "), "label": label}
        )
    return {
        "text": reading.text,
        "heads": heads,
        "guesses": [show(guess.text, guess.probability) for guess in reading.guesses],
    }


def show(text: str, probability: float) -> dict[str, object]:
    """A text with its outline: the machine may have no Bengali font."""
    path, width = draw_outline(text) or ("", 0)
    return {"text": text, "path": path, "width": width, "probability": probability}
