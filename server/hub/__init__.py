"""What a model hub has, and whether it fits this machine: asked before anything is fetched."""
