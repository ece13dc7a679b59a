"""The paper's settings, one file per data set, with the paper's figure and where it stands.

``config``    the resolved configuration of a run
``preset``    what a preset is, and how one becomes a configuration
"""
