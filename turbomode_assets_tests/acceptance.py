"""Every part of the suite and every benchmark, and what came of them as one document.

Run by `make acceptance` when a piece of work is closed and before a release; it takes hours. The
document is written whatever came of the parts; the exit status is 1 where one of them failed.
"""

import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).parent.parent
DOCUMENT = REPOSITORY / "docs" / "acceptance.md"


@dataclass(frozen=True)
class Part:
    """A part of the suite: what pytest is asked for, and whether what it prints are figures."""

    name: str
    arguments: tuple[str, ...]
    has_figures: bool = False


PARTS = (
    Part("tests", ("-n", "auto")),
    Part("in a browser", ("-n", "0", "-m", "browser")),
    Part("slow", ("-n", "0", "-m", "slow")),
    Part("promotion, 20 + 20 seeds", ("-n", "0", "-m", "acceptance", "-s"), has_figures=True),
)


@dataclass(frozen=True)
class PartResult:
    """What came of a part."""

    name: str
    passed: int
    failed: tuple[str, ...]
    """Tests that failed or could not run."""
    skipped: int
    seconds: float
    figures: str = ""

    @property
    def row(self) -> str:
        """Row of the table in the document."""
        counts = f"{self.passed} | {len(self.failed)} | {self.skipped}"
        return f"| {self.name} | {counts} | {self.seconds / 60:.0f} |"


def run_part(part: Part) -> PartResult:
    """Run one part in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        began = time.monotonic()
        done = _run("-m", "pytest", *part.arguments, "--junit-xml", str(report))
        seconds = time.monotonic() - began
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    failed = [_name(case) for case in cases if _has(case, "failure", "error")]
    if done.returncode != 0 and not failed:
        failed = [f"pytest ended with {done.returncode}"]
    skipped = sum(_has(case, "skipped") for case in cases)
    return PartResult(
        part.name,
        passed=sum(not _has(case, "failure", "error", "skipped") for case in cases),
        failed=tuple(failed),
        skipped=skipped,
        seconds=seconds,
        figures=done.stdout if part.has_figures else "",
    )


def run_benchmarks() -> PartResult:
    """Run the benchmarks, which print ratios to rivals."""
    began = time.monotonic()
    done = _run("-m", "turbomode_assets_tests.benchmarks")
    failed = () if done.returncode == 0 else (f"they ended with {done.returncode}",)
    seconds = time.monotonic() - began
    return PartResult("benchmarks", int(not failed), failed, 0, seconds, figures=done.stdout)


def document(results: Sequence[PartResult], *, commit: str, today: dt.date) -> str:
    """Text of the document, in Markdown."""
    cores, python = os.cpu_count(), platform.python_version()
    lines = [
        "# Acceptance",
        "",
        f"`make acceptance` on {today}, commit {commit}, Python {python}, {cores} cores.",
        "",
        "| part | passed | failed | skipped | minutes |",
        "|---|---|---|---|---|",
        *(result.row for result in results),
        "",
    ]
    for result in results:
        if result.failed:
            lines += [f"## Failed: {result.name}", "", *(f"- {name}" for name in result.failed), ""]
        if result.figures:
            lines += [f"## Figures: {result.name}", "", "```", result.figures.strip(), "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Run everything and write the document."""
    results = [*map(run_part, PARTS), run_benchmarks()]
    DOCUMENT.parent.mkdir(exist_ok=True)
    text = document(results, commit=_commit(), today=dt.datetime.now(dt.UTC).date())
    DOCUMENT.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(any(result.failed for result in results))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=REPOSITORY)


def _commit() -> str:
    """The commit that was tried; `+` where files differ from it."""
    asked = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    return subprocess.run(
        asked, capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout.strip()


def _has(case: ElementTree.Element, *tags: str) -> bool:
    return any(case.find(tag) is not None for tag in tags)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


if __name__ == "__main__":
    main()
