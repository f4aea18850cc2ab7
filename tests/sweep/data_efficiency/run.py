"""The command as tests call it: with more arguments, for its exit code."""

from collections.abc import Callable

Run = Callable[..., int]
