"""Prints a pytest-benchmark JSON file as the Markdown table of benchmarks/RESULTS.md: core, reference, ratio.

pytest benchmarks/ --benchmark-json=times.json && python benchmarks/report.py times.json
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("times")
    content = json.loads(Path(parser.parse_args().times).read_text(encoding="utf-8"))
    groups = defaultdict(dict)
    for benchmark in content["benchmarks"]:
        parameters = benchmark["params"] or {}
        backend = next(
            (parameters[name] for name in ("backend", "implementation", "element_type") if name in parameters), "cpu"
        )
        if "threads" in parameters and "implementation" not in parameters:
            backend = f"{parameters['threads']} threads"
        groups[benchmark["group"]][backend] = 1e3 * benchmark["stats"]["median"]
    cpu = content["machine_info"]["cpu"]
    print(f"{cpu.get('brand_raw', cpu.get('arch'))}, Python {content['machine_info']['python_version']}, ", end="")
    print(f"{content['datetime'][:10]}; medians, milliseconds.\n")
    print("| what | core | reference, or grid_sample | ratio |\n|---|---|---|---|")
    for name, medians in sorted(groups.items()):
        core = medians.get("cpu", medians.get("core"))
        other = medians.get("reference", medians.get("grid_sample"))
        if other is not None:
            print(f"| {name} | {core:.3f} | {other:.0f} | {other / core:.{0 if other >= 10 * core else 1}f} |")
        else:
            print(f"| {name} | " + ", ".join(f"{ms:.1f} ({key})" for key, ms in sorted(medians.items())) + " | | |")


if __name__ == "__main__":
    main()
