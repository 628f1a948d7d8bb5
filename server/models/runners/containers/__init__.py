"""What all runners of containers share: the client of an engine, its errors, what servers are told.

Only `client` imports aiodocker, and only when the first container is needed: everything else works
without Docker and without aiodocker.
"""
