"""From two runs on few images to the whole hidden test, and what the competition allows."""

from dataclasses import dataclass

HIDDEN_IMAGES = 98_661 + 112_381  # public and private
HOURS = {"GPU": 2.0, "CPU": 9.0}  # that a kernel may take


@dataclass(frozen=True)
class Verdict:
    passed: bool
    text: str


def extrapolate(few: tuple[int, float], many: tuple[int, float], num_images: int, least: float = 0.0) -> float:
    """The straight line through two runs, (images, measure), at num_images. least: for each image, at the least."""
    slope = max(least, (many[1] - few[1]) / (many[0] - few[0]))
    return max(few[1], many[1]) + slope * max(0, num_images - many[0])


def judge(name: str, needed: float, allowed: float, unit: str) -> Verdict:
    """Whether what is needed is allowed, and by how much."""
    margin = allowed - needed
    word = f"pass, {margin:.1f} {unit} left" if margin >= 0 else f"fail, {-margin:.1f} {unit} too much"
    return Verdict(margin >= 0, f"{name}: {word} of {allowed:g} {unit}.")
