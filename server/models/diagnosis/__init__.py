"""Why a model server ended: its log parsed into entries, evidence and causes."""
