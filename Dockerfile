# The daemon's image: its dependencies in one large layer that changes with constraints.txt, and logwarden's wheel in a
# small layer on top. A user without rights, no compiler, no network at run time (the model is part of the wheel).
#
#   docker build -t logwarden .
#   docker build --build-arg PIP_ARGS="--extra-index-url URL-OF-CPU-WHEELS" …     torch without 4 GB of CUDA libraries
#   docker build --secret id=pip,src=/etc/pip.conf …                              an index of your own, in no layer
ARG BASE=python:3.11-slim

FROM ${BASE} AS dependencies
ENV PIP_CACHE_DIR=/var/cache/pip
ARG PIP_ARGS=""
RUN python3 -m venv /opt/venv
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# pip cannot install a project's dependencies without the project, and with it this layer would change at every commit.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    python3 -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
                print(*project['dependencies'], sep='\n')" > requirements.txt \
    && /opt/venv/bin/pip install ${PIP_ARGS} -r requirements.txt -c constraints.txt

FROM ${BASE} AS wheel
ENV PIP_CACHE_DIR=/var/cache/pip
RUN python3 -m venv /opt/build
WORKDIR /build
COPY . .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    /opt/build/bin/pip wheel --no-deps --wheel-dir /wheel .

FROM ${BASE}
# An init as pid 1: it passes signals on and reaps children, and no signal is lost while Python itself starts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# A number, not only a name: Kubernetes' runAsNonRoot checks numbers only.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin logwarden
COPY --from=dependencies /opt/venv /opt/venv
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/venv/bin/pip install --no-cache-dir --no-index --no-deps /wheel/*.whl
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    LOGWARDEN_HTTP__HOST=0.0.0.0
USER 10001:10001
WORKDIR /
EXPOSE 8080
# For plain Docker and compose; an orchestrator has probes of its own. Python, because a slim image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import http.client as h, os; \
c = h.HTTPConnection('127.0.0.1', int(os.environ.get('LOGWARDEN_HTTP__PORT', '8080')), timeout=4); \
c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# -e: a signal in the first instants ends Python by the signal, 128 + 15. Nothing is open then, so that is success.
ENTRYPOINT ["tini", "-e", "143", "--", "logwarden"]
CMD ["run"]
