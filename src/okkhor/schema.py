"""`HEADS` and the other fixed facts of the competition: its images, labels and files."""

from dataclasses import dataclass

IMAGE_HEIGHT = 137  # pixels
IMAGE_WIDTH = 236  # pixels
NUM_PIXELS = IMAGE_HEIGHT * IMAGE_WIDTH  # 32,332: the pixel columns of a shard are '0' to '32331'


@dataclass(frozen=True)
class Head:
    """One of the three labels of an image.

    name: the label's column in train.csv, and its component_type in class_map.csv.
    num_classes: labels are 0 to num_classes - 1.
    score_weight: the label's weight in the competition's score and in the loss.
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
"""By head, the name of its class probabilities by the grapheme head: sums over the graphemes of each class."""

PRIVATE_UNSEEN = 0.058
"""Share of the private test images whose grapheme train lacks. 3.5 % of the 211,043 test images have such a grapheme;
88 % of these are among the 112,381 private images."""

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
"""By consonant diacritic, which parts it is written with: chandrabindu (ঁ), reph (র্), ya-phala (্য), ra-phala (্র)."""
