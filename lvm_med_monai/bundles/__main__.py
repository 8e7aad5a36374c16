"""``python -m lvm_med_monai.bundles``: render, check, table and package."""

from __future__ import annotations

import argparse
from pathlib import Path

from lvm_med_monai.exit_status import run_command
from lvm_med_monai.whole_file import whole_file


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it found nothing wrong."""
    return run_command(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lvm_med_monai.bundles", description="The collection of bundles.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    render = commands.add_parser("render", help="write bundles from their recipes")
    render.add_argument("names", nargs="*", metavar="NAME", help="bundles; all that have a recipe if none is named")
    render.add_argument(
        "--check", action="store_true", help="write nothing; fail if a bundle is not what its recipe says"
    )
    render.set_defaults(run=_render)
    check = commands.add_parser("check", help="hold bundles against the contract")
    check.add_argument(
        "folders", nargs="*", type=Path, help="folders of bundles; those of the repository if none is given"
    )
    check.set_defaults(run=_check)
    table = commands.add_parser("table", help="print the README's table of bundles")
    table.add_argument("--write", type=Path, metavar="PAGE", help="put it into a page, between its two marks")
    table.set_defaults(run=_table)
    package = commands.add_parser("package", help="write a bundle with trained weights, for MONAI Label and Deploy")
    package.add_argument("bundle", type=Path)
    package.add_argument("out", type=Path)
    package.add_argument("--weights", type=Path, required=True, help="state dict, such as model.pt of a run")
    package.add_argument("--overlay", default="", help="overlays of the training, such as vit_b.json,demo.json")
    package.set_defaults(run=_package)
    for command in (render, check, table):
        command.add_argument("--root", type=Path, default=Path(), help="the repository; the working folder by default")
    return parser


def _render(options: argparse.Namespace) -> int:
    from lvm_med_monai.bundles.recipe import render

    recipes = [options.root / "recipes" / f"{name}.json" for name in options.names]
    recipes = recipes or sorted((options.root / "recipes").glob("*.json"))
    if not recipes:
        raise FileNotFoundError(f"{options.root / 'recipes'} holds no recipes: run in the repository or give --root")
    stale = 0
    for recipe in recipes:
        bundle = options.root / "bundles" / recipe.stem
        files = render(recipe, options.root)
        left_over = sorted(_rendered_files(bundle) - files.keys())
        for name, text in files.items():
            path = bundle / name
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            stale += 1
            print(f"{'stale' if options.check else 'wrote'}: {path}")
            if not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as partial:
                    partial.write_text(text, encoding="utf-8")
        for name in left_over:
            stale += 1
            print(f"{'no recipe makes' if options.check else 'removed'}: {bundle / name}")
            if not options.check:
                (bundle / name).unlink()
    return 1 if options.check and stale else 0


def _rendered_files(bundle: Path) -> set[str]:
    """Files of a bundle that a recipe can make; weights and runs are not among them."""
    folders = [bundle / "configs", bundle / "docs"]
    return {str(path.relative_to(bundle)) for folder in folders for path in folder.glob("*") if path.is_file()}


def _check(options: argparse.Namespace) -> int:
    from lvm_med_monai.bundles.contract import violations
    from lvm_med_monai.bundles.table import bundles_in

    found = 0
    for bundle in options.folders or bundles_in(options.root / "bundles"):
        for sentence in violations(bundle):
            found += 1
            print(f"{bundle.name}: {sentence}")
    return 1 if found else 0


def _table(options: argparse.Namespace) -> int:
    from lvm_med_monai.bundles.table import markdown_table, replace_table

    table = markdown_table(options.root / "bundles")
    if options.write is None:
        print(table, end="")
        return 0
    page = replace_table(options.write.read_text(encoding="utf-8"), table)
    with whole_file(options.write) as partial:
        partial.write_text(page, encoding="utf-8")
    return 0


def _package(options: argparse.Namespace) -> int:
    from lvm_med_monai.bundles.package import package

    overlays = [name for name in options.overlay.split(",") if name]
    print(f"wrote {package(options.bundle, options.out, options.weights, overlays)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
