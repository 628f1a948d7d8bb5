"""Model servers in containers: the runner, and its requests to the engine.

Only `client` imports aiodocker, and only when the first container is needed: everything else works
without Docker and without aiodocker.
"""
