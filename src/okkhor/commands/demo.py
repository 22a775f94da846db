"""./run.sh demo [run=<run>]: a page on this machine; a person draws a grapheme there and sees what is read."""

import socket
from collections.abc import Sequence

from okkhor.errors import ConfigError, check_extra
from okkhor.pipeline.reader import open_reader
from okkhor.pipeline.run import name_run
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    check_extra("demo", "starlette", "uvicorn")
    from uvicorn import Config, Server  # an extra

    from okkhor.demo.application import HOST, answer, make_application

    name = name_run(arguments)
    settings = load_arguments(arguments)
    reader = open_reader(name, settings.fold, arguments)
    application = make_application(lambda png: answer(reader, png))
    server = Server(Config(application, log_level="warning", server_header=False))
    with listen(HOST, settings.demo.port) as listener:
        print(f"Draw at http://{HOST}:{listener.getsockname()[1]}/ with {name}, until Ctrl-C.")
        server.run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Open the port. Raises ConfigError if it is taken."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(f"demo.port={port}: {error.strerror}. Set another port, or 0 for any free one.") from error
