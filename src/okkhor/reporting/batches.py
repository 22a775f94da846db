"""Batches of images as a picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from okkhor.files import replacing


def draw_batches(batches: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    """A row for each batch, its title on the left; written as PNG. batches: by title, (B, H, W) uint8, ink bright."""
    num_images = max(len(images) for images in batches.values())
    height, width = next(iter(batches.values())).shape[1:]
    figure = Figure(figsize=(1.1 * num_images * width / height, 1.2 * len(batches)), layout="constrained")  # inches
    panels = figure.subplots(len(batches), 1, squeeze=False)[:, 0]
    for panel, (title, images) in zip(panels, batches.items(), strict=True):
        framed = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=128)  # gray lines between the images
        panel.imshow(np.hstack(list(framed)), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.set_ylabel(title, rotation=0, horizontalalignment="right", verticalalignment="center")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
