"""The one exception class for mistakes that the user can fix."""


class UserError(Exception):
    """A mistake in input, data or files, told in one or two lines.

    Parameters
    ----------
    what : str
        What is wrong, with the value found and the value expected.
    where : str, optional
        File and key path, or file, frame and atom.
    fix : str, optional
        What the user can do about it.
    """

    def __init__(self, what, where=None, fix=None):
        self.what, self.where, self.fix = what, where, fix
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  fix: {fix}" if fix else text)
