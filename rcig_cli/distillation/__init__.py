"""The mathematics of distillation: pure functions of arrays, compiled by their callers.

``methods/``    one file per method, and their registry
``settings``    settings that methods share; the paper's values are the defaults
``step``        one outer step of any method: the functions that a run consists of
``bilevel/``    the inner problem, its solvers and the meta-gradient
``pool``        the partially trained models at which networks are linearized
``records``     psi, what is learned, and the training set that it stands for
``platform``    how loops and image batches are laid out for the machine at hand
``network``     what methods need of a network

``docs/notation.md`` maps the paper's symbols to these names.
"""
