"""Where model servers run: siblings behind one seam, `base.Runner`."""
