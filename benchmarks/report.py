"""A pytest-benchmark JSON file as the Markdown table of benchmarks/RESULTS.md: core, reference, and their ratio.

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
        backend = (benchmark["params"] or {}).get("backend") or "cpu"
        if "threads" in (benchmark["params"] or {}):
            backend = f"{benchmark['params']['threads']} threads"
        groups[benchmark["group"]][backend] = 1e3 * benchmark["stats"]["median"]
    cpu = content["machine_info"]["cpu"]
    print(f"{cpu.get('brand_raw', cpu.get('arch'))}, Python {content['machine_info']['python_version']}, ", end="")
    print(f"{content['datetime'][:10]}; medians, milliseconds.\n")
    print("| what | core | reference | ratio |\n|---|---|---|---|")
    for name, medians in sorted(groups.items()):
        if "reference" in medians:
            ratio = medians["reference"] / medians["cpu"]
            print(f"| {name} | {medians['cpu']:.3f} | {medians['reference']:.0f} | {ratio:.0f} |")
        else:
            print(f"| {name} | " + ", ".join(f"{ms:.1f} ({key})" for key, ms in sorted(medians.items())) + " | | |")


if __name__ == "__main__":
    main()
