"""What a run can be refused for."""

from __future__ import annotations


class DeployError(ValueError):
    """An input, a bundle or a result that cannot be served; the message names it, the reason and the cure."""
