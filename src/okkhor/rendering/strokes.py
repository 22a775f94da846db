"""From the mask of a glyph to the pen strokes that a hand would write it with.

The mask is thinned to a skeleton, the skeleton is cut at its junctions into arcs, short spurs are dropped, and arcs
that run on straight through a junction are joined to one stroke: so the head line is a single stroke.
"""

from dataclasses import dataclass
from itertools import combinations, pairwise
from math import dist, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT
from okkhor.rendering.skeleton import BALL_WIDTH, end_in_loop, ends_in_ball, find_holes, hollow_balls, thin

INK_LEVEL = 128  # of 255: a mask's pixel is ink from here on
SPUR_LENGTH = 1.4  # times the ink's half-width at the junction: a shorter loose end comes from the outline's corner
JOIN_COSINE = -0.5  # two arcs go on through a junction if they bend by 60 degrees or less
DIRECTION_REACH = 6  # pixels along an arc over which its direction at a junction is taken
POINT_STEP = 2.5  # pixels of the mask between two points of a stroke
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))  # those that share an edge first

Points = NDArray[np.float32]
Pixel = tuple[int, int]


@dataclass
class Arc:
    """A run of skeleton pixels (row, column) between two nodes; a node of -1 is a loose end."""

    pixels: list[tuple[float, float]]
    nodes: tuple[int, int]


def trace_strokes(mask: NDArray[np.uint8], head_line: int) -> tuple[list[Points], Points]:
    """The strokes of a glyph's mask (H, W), each (N, 3) float32, and its knots, (K, 2) float32: see glyphs.Glyph."""
    ink = (mask >= INK_LEVEL).astype(np.uint8)
    half_width = np.asarray(cv2.distanceTransform(ink, cv2.DIST_L2, 3), np.float32)
    skeleton = thin(ink) > 0
    typical = max(float(np.median(half_width[skeleton])), 1.0)
    if half_width.max() > BALL_WIDTH * typical:
        ink = hollow_balls(ink, half_width, typical)
        skeleton = thin(ink) > 0
    arcs, centres = cut_into_arcs(skeleton)
    arcs = drop_spurs(arcs, centres, half_width)
    joints = {tuple(centre) for centre in centres.tolist()}
    origin = (mask.shape[1] / 2, head_line)
    strokes, knots = [], find_holes(ink)
    for pixels in join_arcs(arcs, centres):
        path = resample(np.array(pixels, np.float32))
        rows, columns = np.rint(path).astype(int).T
        widths = half_width[rows, columns] / typical
        stroke = np.column_stack([(path[:, ::-1] - origin) / BODY_HEIGHT, widths]).astype(np.float32)
        for end in (0, -1):
            stroke = stroke[::-1]
            if tuple(pixels[end]) not in joints and ends_in_ball(stroke):
                knots.append(pixels[end][::-1])
                stroke = end_in_loop(stroke)
        strokes.append(stroke)
    return strokes, ((np.array(knots, np.float32).reshape(-1, 2) - origin) / BODY_HEIGHT).astype(np.float32)


def cut_into_arcs(skeleton: NDArray[np.bool_]) -> tuple[list[Arc], NDArray[np.float64]]:
    """The arcs of a skeleton (H, W) with paper at its edges, and the (row, column) centres of its junctions."""
    neighbours = cv2.filter2D(skeleton.astype(np.uint8), -1, np.ones((3, 3), np.uint8)) - 1
    junctions = skeleton & (neighbours >= 3)
    _, labels, _, centroids = cv2.connectedComponentsWithStats(junctions.astype(np.uint8), connectivity=8)
    numbers, centres = np.asarray(labels, np.int32), np.asarray(centroids, np.float64)[1:, ::-1]
    width = skeleton.shape[1]
    left = dict.fromkeys(np.flatnonzero(skeleton & ~junctions).tolist())
    arcs = []
    while left:
        run, closed = walk(next(iter(left)), left, width)
        arcs.append(attach([divmod(pixel, width) for pixel in run], closed, numbers, centres))
    return arcs, centres


def walk(start: int, left: dict[int, None], width: int) -> tuple[list[int], bool]:
    """The run of pixels through `start`, taken out of `left`, and whether it closes to a ring.

    A pixel is row * width + column.
    """
    around = [dy * width + dx for dy, dx in NEIGHBOURS]
    del left[start]
    sides: list[list[int]] = [[], []]
    for side in sides:
        pixel, stuck = start, False
        while not stuck:
            stuck = True
            for step in around:
                if pixel + step in left:
                    pixel, stuck = pixel + step, False
                    del left[pixel]
                    side.append(pixel)
                    break
    run = sides[1][::-1] + [start] + sides[0]
    return run, len(run) > 3 and not sides[1] and run[-1] - start in around


def attach(pixels: list[Pixel], closed: bool, labels: NDArray[np.int32], centres: NDArray[np.float64]) -> Arc:
    """The arc of a run of pixels, led on to the centres of the junctions at its ends.

    labels: (H, W), 0 or a junction's number + 1.
    """
    if closed:
        return Arc([*pixels, pixels[0]], (-1, -1))
    first, last = junctions_around(pixels[0], labels), junctions_around(pixels[-1], labels)
    if len(pixels) == 1:
        first, last = first[:1], first[1:2]
    before = [tuple(centres[node]) for node in first[:1]]
    after = [tuple(centres[node]) for node in last[:1]]
    return Arc([*before, *pixels, *after], (first[0] if first else -1, last[0] if last else -1))


def junctions_around(pixel: Pixel, labels: NDArray[np.int32]) -> list[int]:
    """The numbers of the junctions that touch a pixel."""
    row, column = pixel
    found = labels[row - 1 : row + 2, column - 1 : column + 2]
    return [] if not found.any() else sorted({int(label) - 1 for label in found.flat if label})


def arc_length(pixels: list[tuple[float, float]]) -> float:
    """In pixels."""
    return sum(dist(a, b) for a, b in pairwise(pixels))


def drop_spurs(arcs: list[Arc], centres: NDArray[np.float64], half_width: NDArray[np.float32]) -> list[Arc]:
    """The arcs without the short loose ends that thinning leaves at an outline's corners.

    A junction that loses all of its arcs is a dot: an arc of one pixel.
    """
    kept = []
    for arc in arcs:
        loose = [node for node in arc.nodes if node >= 0]
        if len(loose) == 1:
            row, column = np.rint(centres[loose[0]]).astype(int)
            if arc_length(arc.pixels) < SPUR_LENGTH * half_width[row, column]:
                continue
        kept.append(arc)
    joined = {node for arc in kept for node in arc.nodes}
    return kept + [Arc([tuple(centre)], (-1, -1)) for node, centre in enumerate(centres) if node not in joined]


def join_arcs(arcs: list[Arc], centres: NDArray[np.float64]) -> list[list[tuple[float, float]]]:
    """The arcs joined to strokes: at each junction the two that go on straightest are one, and so forth."""
    partner: dict[tuple[int, int], tuple[int, int]] = {}
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
    """The unit vector in which an arc leaves its end `side`."""
    reach = min(DIRECTION_REACH, len(arc.pixels) - 1)
    start, end = (arc.pixels[0], arc.pixels[reach]) if side == 0 else (arc.pixels[-1], arc.pixels[-1 - reach])
    rows, columns = end[0] - start[0], end[1] - start[1]
    length = max(hypot(rows, columns), 1e-6)
    return rows / length, columns / length


def follow(arcs: list[Arc], partner: dict[tuple[int, int], tuple[int, int]]) -> list[list[tuple[float, float]]]:
    """The chains of arcs whose ends are partners, open chains first."""
    strokes, used = [], set()
    starts = [(index, side) for index in range(len(arcs)) for side in (0, 1)]
    for start in sorted(starts, key=lambda end: (end in partner, end)):
        stroke: list[tuple[float, float]] = []
        end: tuple[int, int] | None = start
        while end is not None and end[0] not in used:
            index, side = end
            used.add(index)
            pixels = arcs[index].pixels if side == 0 else arcs[index].pixels[::-1]
            stroke += pixels[1:] if stroke else pixels
            end = partner.get((index, 1 - side))
        if stroke:
            strokes.append(stroke)
    return strokes


def resample(path: Points) -> Points:
    """A path (M, 2) with its steps made equal, about POINT_STEP each; a single pixel stays one point."""
    steps = np.hypot(*np.diff(path, axis=0).T) if len(path) > 1 else np.zeros(0)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    num = max(round(along[-1] / POINT_STEP), 1) + 1 if along[-1] > 0 else 1
    wanted = np.linspace(0, along[-1], num)
    return np.stack([np.interp(wanted, along, path[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
