# The service and the packages that it runs with, for every process type: `docker run … IMAGE web`, `logs`, `content`,
# `migrate`, or nothing and SERVICE_TYPE. No compiler, no development tools, no servers, no root.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements-build.lock ./
RUN python3 -m venv /tools && \
    /tools/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock
COPY requirements-image.lock ./
RUN /tools/bin/uv venv --quiet --no-cache --python "$(command -v python3)" /opt/roadmap && \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/roadmap --require-hashes --only-binary :all: \
        --compile-bytecode -r requirements-image.lock
COPY LICENSE README.md pyproject.toml ./
COPY migrations migrations
COPY src src
COPY workers workers
RUN /tools/bin/python -m hatchling build --target wheel && \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/roadmap --no-deps --compile-bytecode dist/*.whl

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Roadmap" \
      org.opencontainers.image.description="Learning roadmaps, planned and written by an LLM" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The official images come without Python's bytecode. Nobody may write it later: it would be made anew at each start.
RUN python3 -m compileall -q -x "/(test|tests|idlelib|turtledemo|site-packages|dist-packages)/" \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/roadmap /opt/roadmap
ENV PATH="/opt/roadmap/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    PORT=8000
WORKDIR /opt/roadmap
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["roadmap", "health"]
ENTRYPOINT ["roadmap"]
