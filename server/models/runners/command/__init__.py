"""Model servers that are any program: started by its command, followed, and ended as a whole."""
