"""The application that every command runs: read a series, apply a bundle, write the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monai.utils import optional_import

from lvm_med_monai.apps.deploy.operators import (
    IMAGES,
    RESULTS,
    ApplyBundleOperator,
    ReadSeriesOperator,
    WriteResultsOperator,
)

if TYPE_CHECKING:
    from monai.deploy.conditions import CountCondition
    from monai.deploy.core import Application
else:
    Application, _ = optional_import("monai.deploy.core", name="Application", as_type="base")
    CountCondition, _ = optional_import("monai.deploy.conditions", name="CountCondition")


class DeployApplication(Application):
    """Read -> apply -> write, once.

    Args:
        task: "segmentation", "classification" or "detection".
        source: DICOM folder.
        bundle: folder of the bundle.
        output: folder for the results.
        series: which series of several, see `lvm_med_monai.apps.deploy.series.read_series`.
    """

    def __init__(self, task: str, source: Path, bundle: Path, output: Path, series: str | None = None) -> None:
        self.task, self.source, self.bundle, self.output, self.series = task, source, bundle, output, series
        self.writer: WriteResultsOperator | None = None
        super().__init__()

    def compose(self) -> None:
        """Connect the operators."""
        reader = ReadSeriesOperator(self, CountCondition(self, 1), folder=self.source, series=self.series, name="read")
        apply = ApplyBundleOperator(self, task=self.task, bundle=self.bundle, name="apply")
        self.writer = WriteResultsOperator(self, folder=self.output, name="write")
        self.add_flow(reader, apply, {(IMAGES, IMAGES)})
        self.add_flow(apply, self.writer, {(RESULTS, RESULTS)})

    @property
    def written(self) -> list[Path]:
        """Files of the run."""
        return self.writer.paths if self.writer else []
