"""Training, validation and test by patient, decided by the keyed hash of the patient alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

DIGITS = 13
"""Hexadecimal digits of a hash that decide: 52 bits, which a double holds exactly."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a split may be called."""


@dataclass(frozen=True)
class Splits:
    """Splits and their shares of the patients.

    The share of a split is the chance that a patient falls into it, so a set of few patients may miss it by a few. A
    patient stays where it is when data are added, and all data sets agree where they are hashed with one key.

    Attributes:
        shares: name -> share in (0, 1], in order; they sum to 1.

    Raises:
        ValueError: no splits, a name with other characters than letters, digits, ``-`` and ``_``, or shares that are
            not positive or do not sum to 1.
    """

    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        shares = {name: float(share) for name, share in self.shares.items()}
        object.__setattr__(self, "shares", shares)
        if wrong := [name for name in shares if not NAME.fullmatch(name)]:
            raise ValueError(f"the name of a split is letters, digits, - and _, got {wrong[0]!r}")
        positive = all(math.isfinite(share) and share > 0 for share in shares.values())
        if not positive or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
            raise ValueError(f"shares of splits must be positive and sum to 1, got {dict(shares)}")

    @classmethod
    def parse(cls, text: str) -> Splits:
        """Splits from ``train=0.8,validation=0.1,test=0.1``; raises as the class."""
        shares: dict[str, float] = {}
        for item in text.split(","):
            name, sign, share = item.partition("=")
            try:
                if not sign or name.strip() in shares:
                    raise ValueError
                shares[name.strip()] = float(share)
            except ValueError:
                raise ValueError(f"splits are written as train=0.8,validation=0.1,test=0.1; got {text!r}") from None
        return cls(shares)

    def of(self, patient_h: str) -> str:
        """Split of a patient.

        Args:
            patient_h: the keyed hash of the manifest, hexadecimal.

        Raises:
            ValueError: no hexadecimal hash.
        """
        if len(patient_h) < DIGITS:
            raise ValueError(f"a patient hash has at least {DIGITS} hexadecimal digits, got {len(patient_h)}")
        place = int(patient_h[:DIGITS], 16) / 16**DIGITS
        end = 0.0
        for name, share in self.shares.items():
            end += share
            if place < end:
                return name
        return name  # shares that sum to a rounding error less than 1
