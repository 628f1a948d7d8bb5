"""Runners of model servers, all behind one interface, `base.Runner`."""
