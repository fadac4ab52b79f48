"""`personlab split`: images of an annotation file that are held out of training, as a list of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.io.console import log
from personlab.io.files import write_whole

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "choose images to hold out of training"
USAGE = "--annotations FILE --count N [--output FILE] [options]"
DESCRIPTION = (
    "Choose images by chance, in equal shares of those with 0, 1, 2, 3 or 4, 5 to 8, and more people, and write their "
    "ids, one on each line, for `personlab train --data.held_out` and `personlab evaluate --only`. The choice depends "
    "on the ids, the numbers of people and the seed alone."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    parser.add_argument(
        "--annotations", type=str, required=True, metavar="FILE", help="COCO's JSON, or a file of that format"
    )
    parser.add_argument("--count", type=PositiveInt, required=True, metavar="N", help="number of images")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, metavar="N", help="seed of the choice")
    parser.add_argument(
        "--outlined", action="store_true", help="choose among images in which a person, no crowd, has an outline"
    )
    parser.add_argument(
        "--category", type=str, default="person", metavar="NAME", help="name or number of the people's category"
    )
    parser.add_argument("--output", type=str, default="-", metavar="FILE", help="file to write; - is standard output")


def run(config: Any) -> None:
    """Choose images and write their ids.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: not COCO's format, or fewer images than asked for.
    """
    import sys

    from personlab.data.annotations import read_annotations
    from personlab.data.split import choose_images

    annotations = read_annotations(config.annotations, config.category)
    for note in annotations.notes:
        log(f"warning: {note}")
    ids = choose_images(annotations, config.count, seed=config.seed, outlined=config.outlined)
    outlined = " --outlined" if config.outlined else ""
    content = f"# personlab split --count {config.count} --seed {config.seed}{outlined}\n" + "".join(
        f"{number}\n" for number in ids
    )
    if config.output == "-":
        sys.stdout.write(content)
        return
    write_whole(config.output, content.encode())
    log(f"wrote {config.output}: {len(ids)} of {len(annotations.images)} images")
