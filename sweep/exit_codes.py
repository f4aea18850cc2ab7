"""How a run ends, as the exit code of python -m sweep.data_efficiency; its own help says what each means."""

DONE, ERROR, USAGE, SOME_FAILED, OUT_OF_TIME, INTERRUPTED = 0, 1, 2, 3, 4, 130
