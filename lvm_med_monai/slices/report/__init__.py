"""What people look at: the table of a scan, contact sheets, statistics."""
