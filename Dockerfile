# One image for every part of the pipeline: `docker run shadowlane worker …`, `… aggregate`, `… gate`.
# A leaner one: --build-arg EXTRAS=worker,cli
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS wheel
RUN python -m venv /build && /build/bin/pip install --no-cache-dir build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/bin/python -m build --wheel --outdir /dist

FROM ${PYTHON_IMAGE}
ARG EXTRAS=all
RUN useradd --uid 10001 --create-home shadowlane && install -d -o shadowlane /lake
ENV PATH=/opt/shadowlane/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SHADOWLANE_LAKE=/lake
# What the project depends on, installed by way of an empty package: this big layer then changes only
# with pyproject.toml, and a change of code costs a small one.
WORKDIR /tmp/dependencies
COPY pyproject.toml ./
RUN mkdir -p src/shadowlane && echo '__version__ = "0"' >src/shadowlane/__init__.py && touch README.md LICENSE \
 && python -m venv /opt/shadowlane \
 && pip install --no-cache-dir --timeout 60 ".[${EXTRAS}]"
COPY --from=wheel /dist /tmp/dist
RUN pip install --no-cache-dir --no-deps --force-reinstall /tmp/dist/*.whl

# A number, so that Kubernetes can see for itself that it is not root.
USER 10001
WORKDIR /home/shadowlane
ENTRYPOINT ["shadowlane"]
CMD ["--help"]
