"""Images without annotations beside those with: no loss on labels counts in them, only what teachers say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from personlab.data.coco import People
from personlab.data.images import Example, check_files

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from personlab.data.images import AnnotatedImages
    from personlab.io.images import StoredImage

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


class WithUnlabelled:
    """The images of annotation files, and after them all images of a folder.

    Args:
        images: with annotations.
        folder: with others, which are the files in it whose names end as images' do.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it holds no images, or some that cannot be read.
    """

    def __init__(self, images: AnnotatedImages, folder: str | os.PathLike[str]) -> None:
        self.labelled = images
        self.skeleton, self.has_masks, self.domain = images.skeleton, images.has_masks, images.domain
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder")
        self.names = sorted(path.name for path in self.folder.iterdir() if path.suffix.lower() in _ENDINGS)
        if not self.names:
            raise ValueError(f"{self.folder}: expected images, got none")
        check_files(self.folder, self.names)

    def __len__(self) -> int:
        return len(self.labelled) + len(self.names)

    def source(self, number: int) -> Path | StoredImage:
        """Return the file of image `number`."""
        count = len(self.labelled)
        return self.labelled.source(number) if number < count else self.folder / self.names[number - count]

    def load(self, number: int) -> Example:
        """Read image `number`, with its people or none.

        Raises:
            OSError, ValueError: the file cannot be read.
        """
        if number < len(self.labelled):
            return self.labelled.load(number)
        from personlab.io.images import read_image

        image = read_image(self.source(number))
        return Example(image, unknown_people((image.shape[0], image.shape[1]), self.skeleton.n_keypoints))


def unknown_people(size: tuple[int, int], n_keypoints: int) -> People:
    """Return annotations of an image of (H, W) pixels on which no loss counts anywhere."""
    nothing: NDArray[np.bool_] = np.zeros((0, *size), bool)
    return People(np.zeros((0, n_keypoints, 3), np.float32), nothing, np.ones(size, bool))
