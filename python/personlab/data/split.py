"""Images held out of training: lists of their ids, and a choice that shows as many people as the others."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer
from personlab.data.coco_file import shown
from personlab.io.files import read_up_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from personlab.data.annotations import Annotations

_LISTS = Path(__file__).resolve().parents[1] / "configs"
_MAX_BYTES = 64 << 20  # five million ids
_MIN_HELD_OUT, _MAX_HELD_OUT = 20, 300  # images
_STRATA = (0, 1, 2, 3, 5, 9)  # min numbers of people


def read_ids(source: str | os.PathLike[str]) -> tuple[int, ...]:
    """Read ids of images: a text file with one on each line, or the name of a list of the package.

    Lines that are empty or begin with # are skipped.

    Raises:
        OSError: no such file, and no such list.
        ValueError: another kind of file.
    """
    path = Path(source)
    if not path.is_file() and (own := _LISTS / f"{source}.txt").is_file():
        path = own
    if not path.is_file():
        names = ", ".join(sorted(one.stem for one in _LISTS.glob("*.txt")))
        raise FileNotFoundError(f"{source}: no such file, and no list of the package ({names})")
    ids: dict[int, None] = {}
    try:
        lines = read_up_to(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected ids of images, one on each line, got no text") from None
    for place, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if not (line.isascii() and line.isdigit() and len(line) < 20):
            raise ValueError(f"{path}: line {place}: expected the id of an image, got {shown(line)}")
        ids[int(line)] = None
    if not ids:
        raise ValueError(f"{path}: expected ids of images, one on each line, got none")
    return tuple(ids)


def choose_images(annotations: Annotations, count: int, *, seed: int = 0, outlined: bool = False) -> list[int]:
    """Choose images by chance, in equal shares of those with 0, 1, 2, 3 or 4, 5 to 8, and more people.

    The choice depends on ids, numbers of people and the seed alone.

    Args:
        annotations: of people.
        count: number of images.
        seed: of the choice.
        outlined: choose among images in which a person, no crowd, has an outline.

    Returns:
        Sorted ids.

    Raises:
        ValueError: fewer images than asked for.
    """
    people = Counter(person.image_id for person in annotations.people if not person.crowd)
    with_outline = {person.image_id for person in annotations.people if person.runs and not person.crowd}
    numbers = [number for number in annotations.images if not outlined or number in with_outline]
    kind = " with outlines" if outlined else ""
    if as_integer(count, "count", 1) > len(numbers):
        raise ValueError(f"count: expected at most the {len(numbers)} images{kind}, got {count}")
    strata: dict[int, list[int]] = {low: [] for low in _STRATA}
    for number in numbers:
        strata[max(low for low in _STRATA if low <= people[number])].append(number)
    chosen: list[int] = []
    for low, share in _shares({low: len(own) for low, own in strata.items()}, count).items():
        chosen += sorted(strata[low], key=lambda number: _rank(number, seed))[:share]
    return sorted(chosen)


def held_out_ids(source: str | os.PathLike[str], annotations: Annotations) -> tuple[int, ...]:
    """Return the ids of images to hold out: those of a list, or a share of an annotation file.

    Args:
        source: what `read_ids` takes, or a share such as 0.1, of which there are at least 20 images, at most 300, and
            no more than half, chosen by `choose_images`.
        annotations: the whole file.

    Raises:
        OSError, ValueError: as `read_ids` raises them, or an id that is not in the file.
    """
    try:
        share = float(os.fspath(source))
    except ValueError:
        ids = read_ids(source)
        check_ids(ids, annotations, source)
        return ids
    total = len(annotations.images)
    if not 0 < share < 1 or total < 2:
        raise ValueError(f"held_out: expected a share between 0 and 1 of at least 2 images, got {source} of {total}")
    count = min(max(round(share * total), _MIN_HELD_OUT), _MAX_HELD_OUT, total // 2)
    return tuple(choose_images(annotations, count))


def check_ids(ids: Iterable[int], annotations: Annotations, source: Any) -> None:
    """Check that an annotation file has these images.

    Raises:
        ValueError: it lacks one.
    """
    missing = [number for number in ids if number not in annotations.images]
    if missing:
        raise ValueError(
            f"{source}: expected images of {annotations.path}, got {len(missing)} others, the first of id {missing[0]}"
        )


def only_images(annotations: Annotations, ids: Sequence[int], source: Any) -> Annotations:
    """Return the annotations of these images.

    Raises:
        ValueError: one is not in the file.
    """
    check_ids(ids, annotations, source)
    return _kept(annotations, {number: annotations.images[number] for number in sorted(ids)})


def without_images(annotations: Annotations, ids: Sequence[int], source: Any) -> Annotations:
    """Return the annotations of all other images.

    Raises:
        ValueError: one is not in the file.
    """
    check_ids(ids, annotations, source)
    leave_out = set(ids)
    return _kept(annotations, {n: image for n, image in annotations.images.items() if n not in leave_out})


def _kept(annotations: Annotations, images: dict[int, Any]) -> Annotations:
    people = [person for person in annotations.people if person.image_id in images]
    return annotations._replace(images=images, people=people)


def _rank(number: int, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {number}".encode()).digest()


def _shares(sizes: Mapping[int, int], count: int) -> dict[int, int]:
    """Return `count` in proportion to sizes, rounded by largest remainders; ties go to the later ones."""
    total = sum(sizes.values())
    shares = {low: count * size // total for low, size in sizes.items()}
    rest = sorted(sizes, key=lambda low: (count * sizes[low] % total, low), reverse=True)
    for low in rest[: count - sum(shares.values())]:
        shares[low] += 1
    return shares
