"""What is measured, and against what; `python3 run.py bench` lists the benchmarks."""
