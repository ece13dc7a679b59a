"""The mathematics of distillation: pure functions of arrays, compiled by their callers.

``methods/``           one file per method, and their registry
``parametrizations/``  what is stored in place of images: one file each, and their registry
``settings``           settings that methods share; the paper's values are the defaults
``task``               what a method is made for: network, platform and decoder
``step``               one outer step of any method: the functions that a run consists of
``bilevel/``           the inner problem, its solvers and the meta-gradient: RCIG, CIG, VIG, FRePo, RFAD
``matching/``          features, gradients and trajectories that are matched: DM, DC, DSA, MTT
``infinite_width``     regression with the kernel of infinitely wide networks: KIP
``coresets``           choosing real images by their features
``pool``               the partially trained models at which networks are linearized
``records``            psi, the learned quantities, and the training set that it represents
``platform``           the layout of loops and image batches for the machine
``network``            the interface of networks that methods use

``docs/notation.md`` maps the paper's symbols to these names.
"""
