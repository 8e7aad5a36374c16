from __future__ import annotations

import argparse
import contextlib
import io
import re

import pytest

from lvm_med_monai.slices.__main__ import COMMANDS, main
from lvm_med_monai.slices.reason_meanings import REASON_MEANINGS
from lvm_med_monai.slices.source import KEYS
from lvm_med_monai.slices.stack import FLAGS, REASONS
from lvm_med_monai.slices.store.codecs import CODECS
from lvm_med_monai.slices.store.manifest import TABLES
from lvm_med_monai.slices.store.storage import CT_PRESETS, PRESETS
from lvm_med_monai.slices.work.plan import PLAN_FIELDS
from tests.slices.factories import REPOSITORY

PAGES = ("slices.md", "slices_at_scale.md")
TEXT = {name: (REPOSITORY / "docs" / name).read_text(encoding="utf-8") for name in PAGES}
ALL = "\n".join(TEXT.values())


def parsers() -> dict[str, argparse.ArgumentParser]:
    commands = argparse.ArgumentParser().add_subparsers()
    for command in COMMANDS:
        command.add_parser(commands)
    return commands.choices


def test_every_field_flag_and_reason_is_explained() -> None:
    fields = [item for table in TABLES.values() for item in table.items()]
    rows = [f"| `{name}` | {field.type} | {field.meaning} |" for name, field in fields]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in {**FLAGS, **REASON_MEANINGS}.items()]
    assert [row for row in rows if row not in TEXT["slices.md"]] == []
    assert sorted(REASON_MEANINGS) == sorted(REASONS)


def test_nothing_is_explained_that_is_not_there() -> None:
    known = {name for table in TABLES.values() for name in table} | FLAGS.keys() | set(REASONS) | set(PRESETS)
    known |= parsers().keys()
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", TEXT["slices.md"], re.MULTILINE)
    assert [name for name in rows if name not in known] == []


def test_every_field_of_the_plan_is_explained() -> None:
    rows = [f"| `{name}` | {field.type} | {field.meaning} |" for name, field in PLAN_FIELDS.items()]
    assert [row for row in rows if row not in TEXT["slices_at_scale.md"]] == []


def test_every_command_is_named() -> None:
    assert [name for name in parsers() if f"| `{name}` |" not in TEXT["slices.md"]] == []


@pytest.mark.parametrize("command", sorted(parsers()))
def test_help_explains_every_option(command: str) -> None:
    parser = parsers()[command]
    assert parser.description
    assert [action.dest for action in parser._actions if not action.help] == []
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        main([command, "--help"])
    assert parser.description.split("\n")[0][:40] in output.getvalue()


def test_options_in_the_text_exist() -> None:
    options = {option for parser in parsers().values() for option in parser._option_string_actions}
    own = {"--mutants", "--note", "--array", "--cpus-per-task", "--mem", "--ntasks", "--wait"}  # of scripts and Slurm
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ALL))
    assert named - options - own == set()


def test_codecs_presets_and_keys_are_named() -> None:
    assert [name for name in CODECS if f"`--codec {name}`" not in ALL] == []
    assert [name for name in PRESETS if f"`{name}`" not in TEXT["slices.md"]] == []
    for name in set(CT_PRESETS) - {"ct", "soft"}:
        window = CT_PRESETS[name]
        assert f"| `{name}` | {window.lower:g} to {window.upper:g} HU |" in TEXT["slices.md"]
    assert [key for key in KEYS if key not in ALL] == []
