"""The collection of bundles: rendered from recipes, held to one contract, listed and packaged."""

from lvm_med_monai.bundles.contract import violations
from lvm_med_monai.bundles.package import package
from lvm_med_monai.bundles.recipe import render
from lvm_med_monai.bundles.table import markdown_table

__all__ = ["markdown_table", "package", "render", "violations"]
