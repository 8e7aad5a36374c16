"""Commands of ``python -m lvm_med_monai.slices``: each module adds its parser and runs it."""
