"""Bengali on a page for a machine that may lack its fonts: each text is drawn once and then referred to."""

from collections.abc import Callable

from markupsafe import Markup

EM = 1000  # units of an outline to the size of its font
ABOVE, BELOW = 1000, 500  # of the baseline, shown; what stands out further is seen all the same

Outline = Callable[[str], tuple[str, int] | None]
"""A text -> an SVG path, EM units to the font's size, y downwards from the baseline, and its width; None: it can't."""


class Lettering:
    """Called with a text it gives what shows it; `sprite`, for the page's end, the outlines of all texts so far."""

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
        return Markup('<svg class="sprite" aria-hidden="true"><defs>{}</defs></svg>').format(
            Markup("").join(self.paths)
        )
