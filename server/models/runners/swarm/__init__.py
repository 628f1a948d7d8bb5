"""Model servers as services of a Docker Swarm: the runner, and its requests to the managers."""
