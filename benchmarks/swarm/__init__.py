"""A swarm of three engines beside a plain engine: starts, and nodes that are lost."""
