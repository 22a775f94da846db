"""Random changes of training images, by Albumentations."""

import os

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.config import AugmentConfig

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network for a newer version

import albumentations


class Augmentation:
    """Changes batches. The same seed changes them in the same way, in whichever process."""

    def __init__(self, config: AugmentConfig) -> None:
        affine = albumentations.Affine(
            rotate=(-config.rotate, config.rotate),
            shear={"x": (-config.shear, config.shear), "y": (0, 0)},  # the slant of a hand
            scale={"x": (1 - config.scale, 1 + config.scale), "y": (1 - config.scale, 1 + config.scale)},
            translate_percent=(-config.translate, config.translate),
            border_mode=cv2.BORDER_CONSTANT,
            fill=0,
            p=config.probability,
        )
        # Zhong et al. 2017, arXiv:1708.04896; 0 is paper
        erase = albumentations.Erasing(scale=config.erase_area, fill=0, p=config.erase_probability)
        self.transform = albumentations.Compose([affine, erase])

    def __call__(self, images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """(B, H, W) uint8, ink bright on 0 -> the same, changed."""
        cv2.setNumThreads(0)  # in whichever process: its thread pool and torch's fight for the same cores
        self.transform.set_random_seed(seed)
        return np.stack([self.transform(image=image)["image"] for image in images])
