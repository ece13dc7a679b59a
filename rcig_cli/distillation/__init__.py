"""The mathematics of RCIG: pure functions of arrays, compiled by whoever calls them.

In the order in which one outer step uses them:

``config``          every setting of the algorithm, with the paper's value as default
``records``         psi, what is learned, and the set it stands for
``platform``        how loops and image batches are laid out for the machine at hand
``linearized``      a network linearised in its parameters: features, J v and J^T u
``inner``           the inner problem, a quadratic in the body's parameters
``solvers``         its minimiser and H^-1 g, by Adam or by conjugate gradients
``learning_rates``  tuning and adapting the two Adam solves
``outer``           the loss on real images and its gradients
``meta``            the direct and the implicit gradient in psi
``pool``            the partially trained models at which we linearise
``step``            one outer step, put together from the above

``docs/notation.md`` maps the paper's symbols to these names.
"""
