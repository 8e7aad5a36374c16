"""What lies below a path, and which reader takes each file."""
