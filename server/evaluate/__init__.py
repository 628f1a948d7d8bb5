"""`python3 run.py evaluate`: ask a prompt set of several models, and compare the answers."""
