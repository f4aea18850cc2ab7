"""How programs on a results folder end: with an exit code, and an error as one line instead of a traceback.

``sweep.data_efficiency`` has more to say of its ends, and says it itself.
"""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from trainables.results.contract import ResultsError

P = ParamSpec("P")
DONE, ERROR, INTERRUPTED = 0, 1, 130
EXIT_CODES = "exit codes: 0 done, 1 error, 2 usage, 130 interrupted"


def program(main: Callable[P, int]) -> Callable[P, int]:
    """Let a ``main`` end as every program does: 1 with what is wrong with results or files, 130 after Ctrl-C."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except (ResultsError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return ERROR
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED

    return run
