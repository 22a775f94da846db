"""The fixed facts of the competition: the images, the three heads, the files."""

from dataclasses import dataclass

IMAGE_HEIGHT = 137  # pixels
IMAGE_WIDTH = 236  # pixels
NUM_PIXELS = IMAGE_HEIGHT * IMAGE_WIDTH  # 32,332: the pixel columns of a shard are '0' to '32331'


@dataclass(frozen=True)
class Head:
    """One of the three labels of an image.

    name: its column in train.csv and its component_type in class_map.csv.
    num_classes: its labels are 0 to num_classes - 1.
    score_weight: its weight in the competition's score and in the loss.
    """

    name: str
    num_classes: int
    score_weight: int


HEADS = (
    Head("grapheme_root", num_classes=168, score_weight=2),
    Head("vowel_diacritic", num_classes=11, score_weight=1),
    Head("consonant_diacritic", num_classes=7, score_weight=1),
)
HEAD_NAMES = tuple(head.name for head in HEADS)

GRAPHEME = "grapheme"
"""The name of the optional fourth head, over whole graphemes: label triples that occur together."""
MARGINALS = {name: f"{name}_{GRAPHEME}" for name in HEAD_NAMES}
"""By head, the name of what the grapheme head says about its classes."""

PRIVATE_UNSEEN = 0.058
"""Share of the private test's images whose grapheme train lacks: 88 % of the 3.5 % of all 211,043 test images are among
the 112,381 private ones."""

SUBMISSION_ORDER = ("consonant_diacritic", "grapheme_root", "vowel_diacritic")
"""The order of an image's three rows in Kaggle's test.csv."""

CONSONANT_PARTS = (
    (0, 0, 0, 0),
    (1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, 1, 1, 0),
    (0, 0, 1, 0),
    (0, 0, 0, 1),
    (0, 0, 1, 1),
)
"""Which written parts each consonant diacritic has: chandrabindu (ঁ), reph (র্), ya-phala (্য), ra-phala (্র)."""
