"""The two-level problem: an inner problem on the distilled set, whose solution is evaluated on real images.

In the order in which an outer step uses them:

``formulations``       how each method poses the inner problem
``linearized``         a network linearized in its parameters: features, J v and J^T u
``staged``             the same, made for many products
``subsampling``        the same for large distilled sets
``inner``              the inner problem: its loss, gradient and Hessian products
``solvers``            its solution and H^-1 g, by Adam or by conjugate gradients
``learning_rates``     tuning and adapting the learning rates of Adam's solves
``outer``              the loss on real images and its gradients
``meta_gradient``      the direct and the implicit gradient in psi
``implicit``           the step of RCIG, CIG and VIG, composed from these
``kernel_regression``  the step of FRePo and RFAD
"""
