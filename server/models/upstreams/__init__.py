"""How model servers are spoken to: one module per dialect behind `base.Upstream`."""
