"""Applications that serve bundles: MONAI Label for annotators, MONAI Deploy for hospitals' images."""
