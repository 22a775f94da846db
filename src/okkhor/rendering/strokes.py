"""From a text to the pen strokes that a hand would write it with: `trace_glyph`, by `trace_strokes` from its ink.

The skeleton of the ink is cut at its junctions into arcs. Short spurs are dropped. Arcs that run on straight through a
junction are joined to one stroke, so that the head line is a single stroke.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import dist, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT, Face, draw_text
from okkhor.rendering.skeleton import BALL_WIDTH, ends_in_ball, find_holes, hollow_balls, loop_end, skeletonize

INK_LEVEL = 128  # of 255: a pixel is ink from here on
SPUR_LENGTH = 1.4  # times the ink's half-width at the junction: a shorter loose end comes from the outline's corner
JOIN_COSINE = -0.5  # two arcs go on through a junction if they bend by 60 degrees or less
DIRECTION_REACH = 6  # pixels along an arc over which its direction at a junction is taken
POINT_STEP = 2.5  # pixels between two points of a stroke
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))  # those that share an edge first
PART_MARGIN = 0.03  # letter bodies, around a part's box
SIGNS_BEFORE = "েৈোৌ"  # these signs, or a half of them, stand to the left of their letter and hang from the head line

Points = NDArray[np.float32]
PixelPath = list[tuple[float, float]]
"""(row, column) of successive pixels or junctions."""
End = tuple[int, int]
"""The index of an arc, and its side: 0 is its first pixel, 1 its last."""


@dataclass
class Arc:
    """A run of skeleton pixels between two nodes: each is the index of a junction, or -1 for a loose end."""

    path: PixelPath
    nodes: tuple[int, int]


@dataclass(frozen=True)
class Glyph:
    """The strokes of a shaped grapheme. Lengths are in letter bodies, from the head line to the foot of ক.

    strokes: each (N, 3) float32. x is 0 in the middle of the glyph. y is 0 at the head line and 1 at the foot of ক. The
        third column is the pen's width, divided by the glyph's median stroke width.
    owners: the part of each stroke.
    boxes: (P, 2, 2) float32, left top and right bottom corner of each part.
    numbers: the font's glyph number of each part.
    loops: (K, 2) float32, the middles of the glyph's small loops.
    begins_with_sign: whether a vowel sign that hangs from the head line stands before the letter.
    """

    strokes: list[Points]
    owners: list[int]
    boxes: NDArray[np.float32]
    numbers: tuple[int, ...]
    loops: NDArray[np.float32]
    begins_with_sign: bool = False


@lru_cache(maxsize=1024)  # about 10 kB each
def trace_glyph(face: Face, text: str) -> Glyph:
    """Trace the strokes of a text that the face shapes well."""
    drawn = draw_text(face, text)
    strokes, loops = trace_strokes(drawn.ink, drawn.head_line)
    origin = np.array((drawn.ink.shape[1] / 2, drawn.head_line))
    boxes = (drawn.boxes.reshape(-1, 2, 2) - origin) / BODY_HEIGHT
    owners = [find_owner(stroke, boxes) for stroke in strokes]
    begins_with_sign = any(sign in text for sign in SIGNS_BEFORE)
    return Glyph(strokes, owners, boxes.astype(np.float32), drawn.numbers, loops, begins_with_sign)


def find_owner(stroke: Points, boxes: NDArray[np.float64]) -> int:
    """Return the part (its box: (P, 2, 2)) that holds most points of a stroke, the smallest part at a tie."""
    low, high = boxes[:, None, 0] - PART_MARGIN, boxes[:, None, 1] + PART_MARGIN
    inside = ((stroke[:, :2] >= low) & (stroke[:, :2] <= high)).all(axis=2).mean(axis=1)
    areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=1)
    return int(np.lexsort((areas, -inside.round(1)))[0])


def trace_strokes(text_ink: NDArray[np.uint8], head_line: int) -> tuple[list[Points], Points]:
    """Return the strokes, each (N, 3) float32, and the loops, (K, 2) float32, of ink (H, W) uint8: see Glyph."""
    ink = (text_ink >= INK_LEVEL).astype(np.uint8)
    half_width = np.asarray(cv2.distanceTransform(ink, cv2.DIST_L2, 3), np.float32)
    skeleton = skeletonize(ink)
    median = max(float(np.median(half_width[skeleton])), 1.0)
    if half_width.max() > BALL_WIDTH * median:
        ink = hollow_balls(ink, half_width, median)
        skeleton = skeletonize(ink)
    arcs, centres = cut_into_arcs(skeleton)
    arcs = drop_spurs(arcs, centres, half_width)
    joints = {tuple(centre) for centre in centres.tolist()}
    origin = (ink.shape[1] / 2, head_line)
    strokes, loops = [], find_holes(ink)
    for path in join_arcs(arcs, centres):
        points = resample(np.array(path, np.float32))
        rows, columns = np.rint(points).astype(int).T
        widths = half_width[rows, columns] / median
        stroke = np.column_stack([(points[:, ::-1] - origin) / BODY_HEIGHT, widths]).astype(np.float32)
        for end in (0, -1):
            stroke = stroke[::-1]
            if tuple(path[end]) not in joints and ends_in_ball(stroke):
                loops.append(path[end][::-1])
                stroke = loop_end(stroke)
        strokes.append(stroke)
    return strokes, ((np.array(loops, np.float32).reshape(-1, 2) - origin) / BODY_HEIGHT).astype(np.float32)


def cut_into_arcs(skeleton: NDArray[np.bool_]) -> tuple[list[Arc], NDArray[np.float64]]:
    """Return the arcs of a skeleton (H, W) and the centres (J, 2), row and column, of its junctions."""
    neighbours = cv2.filter2D(skeleton.astype(np.uint8), -1, np.ones((3, 3), np.uint8)) - 1
    junctions = skeleton & (neighbours >= 3)
    _, labels, _, centroids = cv2.connectedComponentsWithStats(junctions.astype(np.uint8), connectivity=8)
    numbers, centres = np.asarray(labels, np.int32), np.asarray(centroids, np.float64)[1:, ::-1]
    width = skeleton.shape[1]
    left = dict.fromkeys(np.flatnonzero(skeleton & ~junctions).tolist())
    arcs = []
    while left:
        run, closed = take_run(next(iter(left)), left, width)
        arcs.append(make_arc([divmod(pixel, width) for pixel in run], closed, numbers, centres))
    return arcs, centres


def take_run(start: int, left: dict[int, None], width: int) -> tuple[list[int], bool]:
    """Move the run of pixels through `start` out of `left`; return it, and whether it closes to a ring.

    A pixel is row * width + column.
    """
    around = [dy * width + dx for dy, dx in NEIGHBOURS]
    del left[start]
    sides: list[list[int]] = [[], []]
    for side in sides:
        pixel = start
        while near := [pixel + step for step in around if pixel + step in left]:
            pixel = near[0]
            del left[pixel]
            side.append(pixel)
    run = sides[1][::-1] + [start] + sides[0]
    return run, len(run) > 3 and not sides[1] and run[-1] - start in around


def make_arc(
    pixels: list[tuple[int, int]], closed: bool, labels: NDArray[np.int32], centres: NDArray[np.float64]
) -> Arc:
    """Make an arc of a run of pixels that ends at the centres of the junctions it touches.

    labels: (H, W), 0 or a junction's index + 1.
    """
    if closed:
        return Arc([*pixels, pixels[0]], (-1, -1))
    first, last = junctions_around(pixels[0], labels), junctions_around(pixels[-1], labels)
    if len(pixels) == 1:
        first, last = first[:1], first[1:2]
    before = [tuple(centres[node]) for node in first[:1]]
    after = [tuple(centres[node]) for node in last[:1]]
    return Arc([*before, *pixels, *after], (first[0] if first else -1, last[0] if last else -1))


def junctions_around(pixel: tuple[int, int], labels: NDArray[np.int32]) -> list[int]:
    """Return the indices of the junctions that touch a pixel."""
    row, column = pixel
    found = labels[row - 1 : row + 2, column - 1 : column + 2]
    return np.unique(found[found > 0] - 1).tolist()


def drop_spurs(arcs: list[Arc], centres: NDArray[np.float64], half_width: NDArray[np.float32]) -> list[Arc]:
    """Return the arcs without the short loose ends that a skeleton has at an outline's corners.

    A junction that loses all of its arcs becomes a dot: an arc of one pixel.
    """
    kept = []
    for arc in arcs:
        junctions = [node for node in arc.nodes if node >= 0]
        if len(junctions) == 1:
            row, column = np.rint(centres[junctions[0]]).astype(int)
            length = sum(dist(a, b) for a, b in pairwise(arc.path))
            if length < SPUR_LENGTH * half_width[row, column]:
                continue
        kept.append(arc)
    joined = {node for arc in kept for node in arc.nodes}
    return kept + [Arc([tuple(centre)], (-1, -1)) for node, centre in enumerate(centres) if node not in joined]


def join_arcs(arcs: list[Arc], centres: NDArray[np.float64]) -> list[PixelPath]:
    """Join arcs to strokes: at each junction the two that go on straightest, then the next two."""
    partner: dict[End, End] = {}
    for node in range(len(centres)):
        ends = [(index, side) for index, arc in enumerate(arcs) for side in (0, 1) if arc.nodes[side] == node]
        aims = {end: direction(arcs[end[0]], end[1]) for end in ends}
        limit = JOIN_COSINE if len(ends) > 2 else 1.0
        pairs = [(aims[a][0] * aims[b][0] + aims[a][1] * aims[b][1], a, b) for a, b in combinations(ends, 2)]
        for cosine, a, b in sorted(pairs):
            if cosine <= limit and a not in partner and b not in partner:
                partner[a], partner[b] = b, a
    return follow(arcs, partner)


def direction(arc: Arc, side: int) -> tuple[float, float]:
    """Return the unit vector (rows, columns) in which an arc leaves its end on this side."""
    reach = min(DIRECTION_REACH, len(arc.path) - 1)
    start, end = (arc.path[0], arc.path[reach]) if side == 0 else (arc.path[-1], arc.path[-1 - reach])
    rows, columns = end[0] - start[0], end[1] - start[1]
    length = max(hypot(rows, columns), 1e-6)
    return rows / length, columns / length


def follow(arcs: list[Arc], partner: dict[End, End]) -> list[PixelPath]:
    """Return the chains of arcs whose ends are partners, open chains before closed ones."""
    strokes, used = [], set()
    starts = [(index, side) for index in range(len(arcs)) for side in (0, 1)]
    for start in sorted(starts, key=lambda end: (end in partner, end)):
        stroke: PixelPath = []
        end: End | None = start
        while end is not None and end[0] not in used:
            index, side = end
            used.add(index)
            path = arcs[index].path if side == 0 else arcs[index].path[::-1]
            stroke += path[1:] if stroke else path
            end = partner.get((index, 1 - side))
        if stroke:
            strokes.append(stroke)
    return strokes


def resample(points: Points) -> Points:
    """Make the steps of a line (M, 2) equal, about POINT_STEP each; a single point stays one."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    num = max(round(along[-1] / POINT_STEP), 1) + 1 if along[-1] > 0 else 1
    wanted = np.linspace(0, along[-1], num)
    return np.stack([np.interp(wanted, along, points[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
