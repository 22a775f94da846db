"""`Lettering`: Bengali text as outlines, for a machine that may lack its fonts. Each text is drawn once per page."""

from collections.abc import Callable

from markupsafe import Markup

ABOVE, BELOW = 1000, 500  # shown above and below the baseline, in units of 1/1000 of the font's size

Outline = Callable[[str], tuple[str, int] | None]
"""A text -> an SVG path, 1000 units to the font's size, y downwards from the baseline, and its width; or None."""


class Lettering:
    """Turns a text into markup that shows it. At the page's end, `sprite` holds the outlines of all texts so far."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.names: dict[str, str] = {}
        self.paths: list[Markup] = []

    def __call__(self, text: str) -> Markup:
        drawn = self.outline(text) if any("\u0980" <= letter <= "\u09ff" for letter in text) else None
        if drawn is None:
            return Markup('<span class="word">{}</span>').format(text)
        path, width = drawn
        if text not in self.names:
            self.names[text] = f"text{len(self.names)}"
            self.paths.append(Markup('<path id="{}" d="{}"/>').format(self.names[text], path))
        box = f"0 {-ABOVE} {width} {ABOVE + BELOW}"
        return Markup('<svg class="text" role="img" aria-label="{}" viewBox="{}"><use href="#{}"/></svg>').format(
            text, box, self.names[text]
        )

    def sprite(self) -> Markup:
        paths = Markup("").join(self.paths)
        return Markup('<svg class="sprite" aria-hidden="true"><defs>{}</defs></svg>').format(paths)
