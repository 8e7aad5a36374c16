"""What a result says about who made it."""

from __future__ import annotations

from dataclasses import dataclass

from highdicom import AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes

import lvm_med_monai

MANUFACTURER = "lvm_med_monai"
SERIES_NUMBER = 9000
"""Number of a result's series; viewers list it after the scanner's."""


@dataclass(frozen=True)
class Equipment:
    """The bundle behind a result.

    Attributes:
        model: name of the bundle.
        version: version of the bundle.
    """

    model: str
    version: str

    @property
    def software(self) -> list[str]:
        """Versions of the package and of the bundle."""
        return [lvm_med_monai.__version__, self.version or "0"]

    @property
    def algorithm(self) -> AlgorithmIdentificationSequence:
        """The bundle as DICOM identifies algorithms."""
        family = codes.cid7162.ArtificialIntelligence
        return AlgorithmIdentificationSequence(self.model[:64], family, self.version or "0", MANUFACTURER)
