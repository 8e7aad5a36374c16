"""Commands of ``python -m lvm_med_monai.lists``, a module each."""
