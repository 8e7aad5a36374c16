"""How the package's command lines end."""

from __future__ import annotations

import argparse
import sys


def run_command(options: argparse.Namespace, interrupted: str = "interrupted") -> int:
    """Run the command that a parser chose, ``options.run``.

    Args:
        options: parsed arguments.
        interrupted: what is said when the user stops it.

    Returns:
        The command's own exit status; 2 after wrong input, with one line on the error stream; 130 if interrupted.
    """
    try:
        return options.run(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  a command line talks to its user
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)  # noqa: T201  as above
        return 130
