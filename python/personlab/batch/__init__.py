"""Whole archives on many workers: images, videos, tars and Parquet files in, Parquet out, on Ray.

`annotate` predicts all inputs, and `read_people`, `read_manifest` and `read_errors` read what it has written. A job
that was killed goes on where it is started again with the same options.
"""

from personlab.batch.job import OptionsError, is_job
from personlab.batch.options import BatchOptions
from personlab.batch.results import coco_results, read_errors, read_manifest, read_people
from personlab.batch.run import Summary, annotate, run_batch
from personlab.batch.setup import EngineError

__all__ = [
    "BatchOptions",
    "EngineError",
    "OptionsError",
    "Summary",
    "annotate",
    "coco_results",
    "is_job",
    "read_errors",
    "read_manifest",
    "read_people",
    "run_batch",
]
