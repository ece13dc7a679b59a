"""One outer step written the plain way: nested ``grad`` and ``jvp``, Adam in ``lax`` loops, plain layers.

It computes what ``rcig_cli.distillation.step`` computes with Adam, and is what its speed is measured against.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax


class PlainConvNet(nn.Module):
    """The ConvNet's body with Flax's own layers; its parameters fit the product's network."""

    depth: int
    width: int

    @nn.compact
    def __call__(self, x):
        """Map images to features."""
        for block in range(self.depth):
            padding = 3 if x.shape[-1] == 1 and block == 0 else 1
            x = nn.Conv(self.width * 2**block, (3, 3), padding=padding, name=f"block_{block}")(x)
            x = nn.avg_pool(nn.softplus(60.0 * x) / 60.0, (2, 2), (2, 2))
        return x.reshape(x.shape[0], -1)


def plain_apply(body):
    """``(parameters, images) -> (logits, features)`` of a body with a linear head."""

    def apply(parameters, images):
        features = body.apply({"params": parameters["body"]}, images)
        head = parameters["head"]
        return features @ head["kernel"] + head["bias"], features

    return apply


def make_plain_update(apply, config):
    """Return ``(psi, rates, theta_0, images, classes) -> (loss, direct, implicit)``."""

    def with_body(theta_0, theta):
        head = {"kernel": theta_0["head"]["kernel"], "bias": theta["bias"]}
        return {"body": theta["body"], "head": head}

    def body_at(theta_0):
        return {"body": theta_0["body"], "bias": theta_0["head"]["bias"]}

    def linearized(theta_0, theta, images):
        def logits(body):
            return apply(with_body(theta_0, body), images)[0]

        return jax.jvp(logits, (body_at(theta_0),), (theta,))[1]

    def mirrored(psi):
        images, labels = psi[0]["images"], psi[1]
        if not config.flip:
            return images, labels
        return jnp.concatenate([images, images[:, :, ::-1]]), jnp.concatenate([labels, labels])

    def last_kernel(psi, theta_0, theta):
        images, labels = mirrored(psi)
        h = apply(theta_0, images)[1]
        lam = config.l2_rate * psi[1].shape[0]
        kernel = h @ h.T + lam * jnp.eye(len(labels), dtype=h.dtype)
        residual = labels - linearized(theta_0, theta, images)
        return h.T @ jnp.linalg.solve(kernel, residual), residual, h, lam

    def inner(theta, psi, theta_0):
        theta_F, residual, h, lam = last_kernel(psi, theta_0, theta)
        error = jnp.sum((residual - h @ theta_F) ** 2)
        decay = jnp.sum(theta_F**2) + sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(theta))
        return 0.5 * (error + lam * decay) / residual.size

    def outer(theta, psi, theta_0, images, classes):
        theta_F = last_kernel(psi, theta_0, theta)[0]
        p = linearized(theta_0, theta, images) + apply(theta_0, images)[1] @ theta_F
        loss = optax.softmax_cross_entropy_with_integer_labels(jnp.exp(psi[2]) * p, classes).mean()
        if config.label_margin:
            top = jax.lax.top_k(psi[1], 2)[0]
            loss -= jnp.minimum(top[:, 0] - top[:, 1], 0.5 / psi[1].shape[1]).mean()
        return loss

    def adam(gradient_of, rate, steps, zero):
        optimizer = optax.adam(1.0)

        def body(_, carry):
            x, state = carry
            update, state = optimizer.update(gradient_of(x), state)
            return jax.tree.map(lambda a, u: a + rate * u, x, update), state

        return jax.lax.fori_loop(0, steps, body, (zero, optimizer.init(zero)))[0]

    def update(psi, rates, theta_0, images, classes):
        zero = jax.tree.map(jnp.zeros_like, body_at(theta_0))
        inner_gradient = jax.grad(inner)
        theta = adam(lambda t: inner_gradient(t, psi, theta_0), rates[0], config.inner_steps, zero)
        loss, g = jax.value_and_grad(outer)(theta, psi, theta_0, images, classes)

        def excess(v):
            Hv = jax.jvp(lambda t: inner_gradient(t, psi, theta_0), (theta,), (v,))[1]
            return jax.tree.map(jnp.subtract, Hv, g)

        v = adam(excess, rates[1], config.hessian_steps, zero)
        direct = jax.grad(outer, 1)(theta, psi, theta_0, images, classes)

        def coupling(psi):
            return -optax.tree.vdot(v, inner_gradient(theta, psi, theta_0))

        return loss, direct, jax.grad(coupling)(psi)

    return update
