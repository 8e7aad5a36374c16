"""Run the demonstration: ``python -m demo [--full] [--output FOLDER]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from demo.pipeline import stage_groups
from demo.plan import FULL, ROOT, SHORT, Plan
from demo.schedule import run_groups
from demo.stages import StageError


def main() -> int:
    """Run all stages that are not finished, then write ``metrics.json`` and ``report.html``."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all arms and three seeds: about an hour on 2 cores")
    parser.add_argument("--output", type=Path, default=ROOT / "demo_output", help="where everything is written")
    arguments = parser.parse_args()
    plan, output = (FULL if arguments.full else SHORT), arguments.output.resolve()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    try:
        seconds = run_groups(stage_groups(plan, output), output, lambda message: print(message, flush=True))
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to go on", file=sys.stderr)
        return 130
    except StageError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print("writing the report", flush=True)
    _report(plan, output, seconds)
    print(f"done: open {output / 'report.html'}")
    return 0


def _report(plan: Plan, output: Path, seconds: dict[str, float]) -> None:
    """Imported late: matplotlib and MONAI take seconds to start, and progress should show at once."""
    from demo.figures import all_figures
    from demo.report import write_report
    from demo.results import collect

    metrics = collect(plan, output, seconds)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    write_report(plan, metrics, all_figures(plan, output), output / "report.html")


if __name__ == "__main__":
    sys.exit(main())
