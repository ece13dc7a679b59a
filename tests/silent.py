"""A report that discards its messages, for jobs that are tested without a terminal."""


class Silent:
    """Implements `rcig_cli.runs.report.Report`; checks that every message can be encoded."""

    def note(self, sentence):
        sentence.encode()

    warn = note

    def progress(self, label, _done, _total, _values=None):
        label.encode()
