"""The work of an extraction: plan, units, parts, workers, and how they come together."""
