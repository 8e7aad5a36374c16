"""Whether an extracted folder is what its tables say."""
