"""Where slices are stored: shards, codecs, tables, and how they are read back."""
