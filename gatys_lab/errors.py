"""The one error that the command line tells from the others: a name that nothing here answers to."""


class UnknownName(ValueError):
    """An unknown loss, network, layer, optimizer, option or device. The CLI exits with 2 (others: 1)."""
