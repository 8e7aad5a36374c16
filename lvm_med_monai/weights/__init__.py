"""Published weights: which there are, how to get them, and how they become files of this package."""
