"""Why weights cannot be used, in words for people."""


class WeightsFailed(Exception):
    """The weights cannot be had, or are not what was asked for."""


class NotGGUF(WeightsFailed):
    """The file is not a GGUF file, or is cut short."""
