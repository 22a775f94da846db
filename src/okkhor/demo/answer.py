"""`answer`: what the demo's page shows of a drawing."""

from io import BytesIO

from okkhor.pipeline.reader import Reader, load_scan
from okkhor.rendering.fonts import draw_outline, read_shown_components
from okkhor.schema import HEADS

MOST_PIXELS = 1_000_000  # of a drawing; the page's sheet has 708 x 411


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
