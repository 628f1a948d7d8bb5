"""How model servers are spoken to: a folder per dialect behind `base.Upstream`."""
