"""A report to nobody, for jobs that are tested without a terminal."""


class Silent:
    """Takes every message, if only it can be written."""

    def note(self, sentence):
        sentence.encode()

    warn = note

    def progress(self, label, _done, _total, _values=None):
        label.encode()
