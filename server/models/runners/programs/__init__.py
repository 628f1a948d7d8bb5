"""Model servers that are programs on this machine, each with all of its processes."""
