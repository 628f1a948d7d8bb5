"""Model servers that are programs on this machine: started, followed, and ended as a whole."""
