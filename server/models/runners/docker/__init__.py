"""Model servers in containers: the runner, and the requests that it makes to the engine.

aiodocker is imported by `client` alone, and only once a container is asked for: without
Docker, and without aiodocker, everything else works.
"""
