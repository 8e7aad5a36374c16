from __future__ import annotations

from lvm_med_monai.slices.manifest import TABLES
from lvm_med_monai.slices.stack import FLAGS, REASONS
from tests.slices.factories import REPOSITORY


def test_every_field_flag_and_reason_is_explained() -> None:
    text = (REPOSITORY / "docs" / "slices.md").read_text(encoding="utf-8")
    fields = [item for table in TABLES.values() for item in table.items()]
    rows = [f"| `{name}` | {field.type} | {field.meaning} |" for name, field in fields]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in FLAGS.items()]
    assert [row for row in rows if row not in text] == []
    assert [reason for reason in REASONS if f"| `{reason}` |" not in text] == []
