# rcig on a CPU. In the checkout:
#   docker build --file docker/cpu.Dockerfile --tag rcig .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" rcig distill --ipc 1
# The store is then ./artifacts.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY rcig_cli rcig_cli
RUN python -m venv /opt/rcig \
    && /opt/rcig/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/rcig /opt/rcig
ENV PATH=/opt/rcig/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
# Without --user, a user that isn't root; the volume must be writable for it.
USER 1000:1000
ENTRYPOINT ["rcig"]
CMD ["--help"]
