"""Why a model server ended: its log read into entries, evidence and causes."""
