"""Who may run: room on the machine and on its GPUs, use, and idleness."""
