"""MONAI Label on bundles of this collection, offline and on this machine alone: ``python -m lvm_med_monai.apps.label``.

`server` holds what needs MONAI Label, which wants an environment of its own (``requirements/label.txt``); the other
modules do not.
"""
