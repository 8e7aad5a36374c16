"""Sources -> shards, manifest and rejects, in a folder that can be resumed and verified."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lvm_med_monai import __version__
from lvm_med_monai.slices.identity import Identities, load_key
from lvm_med_monai.slices.manifest import FILES, MANIFEST, REJECTS, SCHEMA_VERSION, TABLES, read_table, write_table
from lvm_med_monai.slices.selection import SlicePolicy
from lvm_med_monai.slices.shards import ShardWriter
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.source_extraction import SourceExtraction
from lvm_med_monai.slices.stack import Stack
from lvm_med_monai.slices.walk import list_files, stacks_of_files

PARTS = "parts"
"""Folder of the finished sources inside the output."""
SETTINGS = "settings.json"
"""What a part was made with (fingerprints of settings and key), and what was dropped; no names or paths."""


@dataclass(frozen=True)
class Summary:
    """What an extraction did.

    Attributes:
        files_in: input files.
        files_in_manifest: of them, those that gave at least one slice.
        files_in_rejects: of them, those that gave none.
        slices: rows of the manifest.
        sources_done: sources processed by this call.
        sources_skipped: sources that an earlier call had finished with the same settings.
        rejected: reason -> files.
        dropped: reason -> tiles or slices that the policy left out.
    """

    files_in: int
    files_in_manifest: int
    files_in_rejects: int
    slices: int
    sources_done: int = 0
    sources_skipped: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def extract(
    sources: Sequence[Source | str | os.PathLike[str]],
    out: str | os.PathLike[str],
    policy: SlicePolicy | None = None,
    key_file: str | os.PathLike[str] | None = None,
    *,
    keep_burned_in: bool = False,
    progress: bool = True,
) -> Summary:
    """Extract the slices of some sources into ``out``, or add them to what is there.

    A source that an earlier call finished with the same settings is skipped, one that was interrupted or has other
    settings is done again. The same input, settings and key give the same bytes.

    Args:
        sources: sources, or paths.
        out: output folder; made if it is missing.
        policy: which slices to keep; the defaults of `SlicePolicy` if None.
        key_file: secret key of the identities, made if it is missing; ``<out>.key`` beside the output if None.
        keep_burned_in: extract stacks at risk of burned-in text instead of rejecting them.
        progress: show a progress bar.

    Returns:
        Totals over all of ``out``.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no sources, one given twice or around ``out``, a folder without files, or a key that does not fit.
    """
    from tqdm import tqdm

    out, policy = Path(out), policy or SlicePolicy()
    wanted = [s if isinstance(s, Source) else Source(Path(s)) for s in sources]
    _check(wanted, out)
    key = load_key(Path(key_file) if key_file is not None else out.with_name(out.name + ".key"), out)
    identities = Identities(key)
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    _check_key(out, identities)
    done = 0
    with tqdm(unit=" slices", desc="extract", disable=not progress) as bar:
        for number, source in enumerate(wanted):
            bar.set_postfix_str(f"source {number + 1} of {len(wanted)}")
            done += _extract_source(source, out, policy, identities, keep_burned_in, bar)
    return replace(_merge(out), sources_done=done, sources_skipped=len(wanted) - done)


def _check(sources: Sequence[Source], out: Path) -> None:
    if not sources:
        raise ValueError("no sources given; name at least one file or folder")
    names = Counter((source.dataset, source.name) for source in sources)
    if twice := [name for (_, name), count in names.items() if count > 1]:
        raise ValueError(f"sources given twice: {', '.join(twice)}; give each once per data set")
    for source in sources:
        if not source.path.exists():
            raise FileNotFoundError(f"no file or folder {source.path}; check the path")
        if out.resolve().is_relative_to(source.path.resolve()):
            raise ValueError(f"the output {out} lies inside of the source {source.path}; give another folder")


def _check_key(out: Path, identities: Identities) -> None:
    """Hashes of two keys in one output would give one patient two names."""
    marks = {_settings(part).get("key", "") for part in (out / PARTS).iterdir() if part.name[0] != "."}
    if marks - {identities.hash("key")}:
        raise ValueError(f"{out} was written with another key; give that one, or another output folder")


def _extract_source(
    source: Source, out: Path, policy: SlicePolicy, identities: Identities, keep_burned_in: bool, bar: Any
) -> bool:
    """Returns False if the source was finished before."""
    files, unread = list_files(source.path)
    name = identities.hash("source", source.dataset, source.name)[:16]
    settings = _fingerprint(source, policy, keep_burned_in)
    part, partial = out / PARTS / name, out / PARTS / f".{name}.partial"
    if _settings(part).get("fingerprint") == settings:
        return False
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with ShardWriter(partial, "slices") as shards:
        own = replace(policy, planes=source.planes) if source.planes is not None else policy
        work = SourceExtraction(source, own, identities, shards, f"{PARTS}/{name}", keep_burned_in, on_slice=bar.update)
        for reject in unread:
            work.reject(reject.path, reject.reason, reject.detail)
        for item in stacks_of_files(files):
            if isinstance(item, Stack):
                work.add(item)
            else:
                work.reject(item.path, item.reason, item.detail)
    _write_tables(partial, work, [*files, *(reject.path for reject in unread)])
    record = {"fingerprint": settings, "key": identities.hash("key"), "dropped": dict(sorted(work.dropped.items()))}
    (partial / SETTINGS).write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
    if part.exists():
        shutil.rmtree(part)
    os.replace(partial, part)
    return True


def _settings(part: Path) -> dict[str, Any]:
    path = part / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _fingerprint(source: Source, policy: SlicePolicy, keep_burned_in: bool) -> str:
    settings = {
        **asdict(policy),
        "planes": source.planes or policy.planes,
        "modality": source.modality,
        "tile": source.tile,
        "split": source.split,
        "keep_burned_in": keep_burned_in,
        "version": __version__,
        "schema": SCHEMA_VERSION,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _write_tables(folder: Path, work: SourceExtraction, inputs: list[Path]) -> None:
    rejects, files = [], []
    common = {"schema_version": SCHEMA_VERSION, "dataset": work.source.dataset}
    for path in inputs:
        row: dict[str, Any] = {**common, "source_h": work.file_hash(path)}
        if path in work.kept:
            files.append({**row, "outcome": "manifest", "primary_h": work.file_hash(work.kept[path])})
        elif path in work.refused:
            reject = work.refused[path]
            files.append({**row, "outcome": "rejects", "primary_h": row["source_h"]})
            rejects.append({**row, "reason": reject.reason, "detail": reject.detail})
        else:
            raise RuntimeError("an input file has no outcome; this is a fault of lvm_med_monai, please report it")
    for name, rows in ((MANIFEST, work.rows), (REJECTS, rejects), (FILES, files)):
        write_table(folder, name, rows)


def _merge(out: Path) -> Summary:
    """Tables of all finished parts -> tables of the output."""
    import pyarrow as pa

    parts = sorted(path for path in (out / PARTS).iterdir() if (path / SETTINGS).is_file() and path.name[0] != ".")
    for name in TABLES:
        rows = pa.concat_tables([read_table(part, name) for part in parts])
        write_table(out, name, rows.to_pylist())
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(_settings(part)["dropped"])
    return replace(count(out), dropped=dict(sorted(dropped.items())))


def count(out: Path) -> Summary:
    """Totals of the three tables of an output."""
    files = Counter(read_table(out, FILES)["outcome"].to_pylist())
    rejected = Counter(read_table(out, REJECTS)["reason"].to_pylist())
    return Summary(
        files_in=files.total(),
        files_in_manifest=files["manifest"],
        files_in_rejects=files["rejects"],
        slices=len(read_table(out, MANIFEST)),
        rejected=dict(sorted(rejected.items())),
    )
