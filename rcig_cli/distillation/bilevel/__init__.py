"""The two-level problem: an inner problem on the distilled set, whose solution is evaluated on real images.

In the order in which an outer step uses them:

``inner``              the inner problem of each method: its loss, gradient and Hessian products
``linearized``         a network linearized in its parameters: features, J v and J^T u
``subsampling``        gradients through a random subset of large distilled sets
``feature_kernel``     A = h h^T + lam I, for the last kernel in closed form
``solvers``            the inner problem's solution and H^-1 g, by Adam or by conjugate gradients
``learning_rates``     tuning and adapting the learning rates of Adam's solves
``outer``              the loss on real images and its gradients
``meta_gradient``      the direct and the implicit gradient in psi
``implicit``           the step of RCIG, CIG and VIG, composed from these
``kernel_regression``  the step of FRePo and RFAD
"""
