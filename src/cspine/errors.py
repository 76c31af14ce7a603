"""The one exception whose message is written for the person at the terminal."""


class CspineError(Exception):
    """Something the user can put right: says which file or config key, what was found, what was expected.

    The command line prints it as one line without a traceback; everything else is a bug and keeps its traceback.
    """
