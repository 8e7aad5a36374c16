"""Private copies of bundles for MONAI Label, checked before the server starts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvm_med_monai.apps.label.origin import check_origin, fingerprint, note_origin
from lvm_med_monai.bundles.contract import LABEL_TASKS
from lvm_med_monai.bundles.package import package

EMBEDDING = "_embedding"
"""End of the name of a bundle that only active learning uses: it is no model for annotators."""
UNCERTAIN = ("segmentation", "classification")
"""Tasks whose answers are probabilities, so that active learning can tell how uncertain they are."""
MAIN = "main.py"
_MAIN_TEXT = '''"""What MONAI Label loads from an app's folder."""

from lvm_med_monai.apps.label.server.app import LabelApp

__all__ = ["LabelApp"]
'''
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Choice:
    """A bundle that is to be served.

    Attributes:
        name: its folder's name, under which MONAI Label serves it.
        folder: where it lies; it is read, never written.
        weights: state dict to serve instead of the folder's ``models/model.pt``.
    """

    name: str
    folder: Path
    weights: Path | None = None


def choose(names: Sequence[str], collection: Path, weights: Mapping[str, Path]) -> list[Choice]:
    """Find the bundles that a user asks for.

    Args:
        names: a name is looked up in ``collection``; whatever holds a slash is a folder.
        collection: folder of bundles.
        weights: state dicts by name of bundle.

    Raises:
        FileNotFoundError: a bundle, or its weights, do not exist.
        ValueError: a name cannot be served or is given twice, weights are given for another bundle, or a bundle that
            embeds has no other to help.
    """
    if not names:
        raise ValueError("no bundle is named: give --bundles NAME[,NAME]")
    folders = [Path(name) if "/" in name else collection / name for name in names]
    found = [_choice(name, folder, weights) for name, folder in zip(names, folders, strict=True)]
    served = [choice.name for choice in found]
    for name in served:
        if served.count(name) > 1:
            raise ValueError(
                f"two bundles are called {name}: MONAI Label tells models by the folder's name; rename one"
            )
    for name in weights.keys() - set(served):
        raise ValueError(f"weights are given for {name}, which is not among --bundles {','.join(served)}")
    _check_embedding(found)
    return found


def stage(choices: Sequence[Choice], app: Path, overlays: Sequence[str] = ()) -> None:
    """Make the folder that MONAI Label is started with: copies of bundles, weights checked, and ``main.py``.

    A bundle that the folder holds already stays as it is, with what it has learnt, if it was copied from the same
    configurations, weights and overlays.

    Args:
        choices: what `choose` found.
        app: the app's folder, made if it does not exist.
        overlays: overlays that the weights of `Choice.weights` were trained with, such as ``demo.json``.

    Raises:
        ValueError: weights do not fit (no bundle is copied half), or the folder's copy was made from something else.
    """
    for choice in choices:
        target = app / "model" / choice.name
        weights = choice.weights or choice.folder / "models" / "model.pt"
        used = overlays if choice.weights is not None else ()
        origin = fingerprint(choice.folder, weights, used)
        if target.exists():
            check_origin(target, origin)
            continue
        package(choice.folder, target, weights, used)
        note_origin(target, origin)
    (app / MAIN).write_text(_MAIN_TEXT, encoding="utf-8")


def stage_afresh(choices: Sequence[Choice], app: Path, overlays: Sequence[str] = ()) -> None:
    """`stage` into a new folder that takes the place of ``app`` when all is copied; until then ``app`` stays.

    Raises:
        ValueError: weights do not fit.
    """
    draft, old = app.with_name(f"{app.name}.new"), app.with_name(f"{app.name}.old")
    for folder in (draft, old):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        stage(choices, draft, overlays)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if app.exists():
        app.rename(old)
    draft.rename(app)
    shutil.rmtree(old, ignore_errors=True)


def _check_embedding(choices: Sequence[Choice]) -> None:
    embedding = [choice.name for choice in choices if choice.name.endswith(EMBEDDING)]
    if len(embedding) == len(choices):
        raise ValueError(
            f"{', '.join(embedding)} only helps to choose images: name a bundle that annotators can use, too"
        )
    if len(embedding) > 1:
        raise ValueError(f"active learning uses one bundle that embeds, not {' and '.join(embedding)}: name one")
    if embedding and not any(task_of(choice.folder) in UNCERTAIN for choice in choices):
        raise ValueError(f"{embedding[0]} chooses images for a bundle that segments or classifies: name one, too")


def _choice(name: str, folder: Path, weights: Mapping[str, Path]) -> Choice:
    if not (folder / "configs" / "inference.json").is_file():
        raise FileNotFoundError(_no_bundle(name, folder))
    called = folder.resolve().name
    _check_name(called)
    chosen = weights.get(called)
    if chosen is not None and not chosen.is_file():
        raise FileNotFoundError(f"the weights {chosen} of {called} do not exist")
    if chosen is None and not (folder / "models" / "model.pt").is_file():
        raise FileNotFoundError(
            f"{called} has no weights: {folder / 'models' / 'model.pt'} does not exist. Give --weights "
            f"{called}=FILE, or a folder made by `python -m lvm_med_monai.bundles package`"
        )
    return Choice(called, folder.resolve(), chosen)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be served: a bundle's name is letters, digits and underscores")
    tasks = [task for task in LABEL_TASKS if task in name]
    if len(tasks) != 1 and not name.endswith(EMBEDDING):
        raise ValueError(
            f"{name} cannot be served: MONAI Label tells the task by the name, which must hold one of "
            f"{', '.join(LABEL_TASKS)}"
        )


def _no_bundle(name: str, folder: Path) -> str:
    if "/" in name:
        return f"{name} is no bundle: it has no configs/inference.json"
    held = sorted(path.parent.parent.name for path in folder.parent.glob("*/configs/inference.json"))
    known = f"it has {', '.join(held)}" if held else "it has none; name another folder with --collection"
    return f"there is no bundle {name} in {folder.parent}: {known}"


def task_of(bundle: Path) -> str:
    """The word by which MONAI Label tells the task of a bundle."""
    return next((task for task in LABEL_TASKS if task in bundle.name), "embedding")
