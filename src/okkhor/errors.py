"""What a person can mend. `commands.main` prints these in a line or two and exits with status 2."""

LOST_ANOTHER = 3
"""The exit status of one process of several that can't reach another, and says nothing: the launcher tells of that."""


class InputError(Exception):
    """A file or a value is not what it must be: names what, where, found, expected and the remedy."""


class ConfigError(InputError):
    """A setting, a preset or a command is not what it must be."""
