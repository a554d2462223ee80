# One image for all services in Python; docker-compose.yml says which one a container runs.

FROM python:3.13-slim AS built
WORKDIR /build
RUN python -m venv /venv
# What changes least comes first. Everything is held to the hashes of the locks, the build's own tools too.
COPY requirements/ requirements/
RUN /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/image.lock \
    && python -m venv tools \
    && tools/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY eventbus/ eventbus/
RUN tools/bin/python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin eventbus
COPY --from=built /venv /venv
WORKDIR /app
COPY services/ services/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER eventbus
# `eventbus` is the container's first process, so that `docker stop` reaches it and it drains.
ENTRYPOINT ["eventbus"]
CMD ["--help"]
