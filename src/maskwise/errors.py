"""What a user did that cannot work, told in one line."""


class UserError(ValueError):
    """Bad input: what it is, the value, and what to do about it, in one line.

    The command line prints the message and exits with status 2; Python callers catch it as a
    ``ValueError``.
    """
