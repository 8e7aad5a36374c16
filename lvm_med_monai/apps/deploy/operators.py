"""The three operators of the applications; what they do is elsewhere and needs no App SDK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai.utils import optional_import

from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.output import write_results
from lvm_med_monai.apps.deploy.series import read_series
from lvm_med_monai.apps.deploy.tasks import TASKS

if TYPE_CHECKING:
    from monai.deploy.core import Operator
else:
    # Without the App SDK the module can be read, and making an operator says what is missing.
    Operator, _ = optional_import("monai.deploy.core", name="Operator", as_type="base")
IMAGES, RESULTS = "images", "results"


class ReadSeriesOperator(Operator):
    """A DICOM folder -> stacks of its series."""

    def __init__(self, fragment: Any, *args: Any, folder: Path, series: str | None = None, **kwargs: Any) -> None:
        self.folder, self.series = folder, series
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: Any) -> None:
        """One output: the stacks."""
        spec.output(IMAGES)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Read headers; see `lvm_med_monai.apps.deploy.series.read_series`."""
        op_output.emit(read_series(self.folder, self.series), IMAGES)


class ApplyBundleOperator(Operator):
    """Stacks -> DICOM objects, by a bundle."""

    def __init__(self, fragment: Any, *args: Any, task: str, bundle: Path, **kwargs: Any) -> None:
        self.task, self.bundle = task, bundle
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: Any) -> None:
        """Stacks in; stacks and results out."""
        spec.input(IMAGES)
        spec.output(RESULTS)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Load the bundle and apply it; see `lvm_med_monai.apps.deploy.tasks`."""
        images = op_input.receive(IMAGES)
        op_output.emit((images, TASKS[self.task](images, load_model(self.bundle))), RESULTS)


class WriteResultsOperator(Operator):
    """DICOM objects -> files.

    Attributes:
        paths: what was written; empty before the operator has run.
    """

    def __init__(self, fragment: Any, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: Any) -> None:
        """One input: stacks and results."""
        spec.input(RESULTS)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Check identifiers and write; see `lvm_med_monai.apps.deploy.output.write_results`."""
        images, results = op_input.receive(RESULTS)
        self.paths = write_results(
            results, [header for image in images for header in image.headers.values()], self.folder
        )
