# rcig on NVIDIA GPUs. The host needs the NVIDIA driver and the NVIDIA Container Toolkit; CUDA itself comes with the
# extra [cuda], so that no CUDA image is needed. In the checkout:
#   docker build --file docker/cuda.Dockerfile --tag rcig:cuda .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/data" rcig:cuda doctor
# `doctor` must say that JAX uses the GPU. The store is ./artifacts.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY rcig_cli rcig_cli
RUN python -m venv /opt/rcig \
    && /opt/rcig/bin/pip install --no-cache-dir '.[cuda]'

FROM python:3.13-slim
COPY --from=build /opt/rcig /opt/rcig
# The last two are read by the NVIDIA Container Toolkit; JAX_PLATFORMS ends a run that would fall back to the CPU.
ENV PATH=/opt/rcig/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    JAX_PLATFORMS=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /data
USER 1000:1000
ENTRYPOINT ["rcig"]
CMD ["--help"]
