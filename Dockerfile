# The daemon's image: its dependencies in one large layer that changes with constraints.txt, and logwarden's wheel in a
# small layer on top. A user without rights, no compiler, no network at run time (the model is part of the wheel).
#
#   docker build -t logwarden .                                                   for CPUs, without torch
#   docker build --build-arg DEVICE=cuda -t logwarden:cuda .                      for GPUs: torch with 4 GB of CUDA libraries
#   docker build --build-arg EXTRAS=mcp,registry …                                optional dependencies; without it mcp alone
#   docker build --secret id=pip,src=/etc/pip.conf …                              an index of your own, in no layer
ARG BASE=python:3.11-slim

FROM ${BASE} AS dependencies
ENV PIP_CACHE_DIR=/var/cache/pip
ARG PIP_ARGS=""
# cpu leaves out what only GPUs and training need: ONNX Runtime computes the model.
ARG DEVICE=cpu
ARG EXTRAS=mcp
# pip works from outside: the image needs neither it nor setuptools.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# pip cannot install a project's dependencies without the project, and with it this layer would change at every commit.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    python3 -c "import re, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
                heavy = {'cpu': {'torch', 'transformers', 'scikit-learn', 'scipy'}, 'cuda': set()}['${DEVICE}']; \
                names = {each: re.match('[a-z-]+', each)[0] for each in project['dependencies']}; \
                assert heavy <= set(names.values()), heavy; \
                extras = [each for extra in '${EXTRAS}'.split(',') if extra for each in project['optional-dependencies'][extra]]; \
                print(*(each for each, name in names.items() if name not in heavy), *extras, sep='\n')" > requirements.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install ${PIP_ARGS} -r requirements.txt -c constraints.txt \
    && cd /opt/venv/lib/python3.*/site-packages && rm -r onnx/backend/test numpy/tests numpy/*/tests

FROM ${BASE} AS wheel
ENV PIP_CACHE_DIR=/var/cache/pip
RUN python3 -m venv /opt/build
WORKDIR /build
COPY . .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    /opt/build/bin/pip wheel --no-deps --wheel-dir /wheel .

# The bill of materials lists every Python package of the image, with version and licence (CycloneDX).
FROM dependencies AS materials
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/build/bin/pip install --quiet cyclonedx-bom==7.5.0 \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --quiet --no-index --no-deps /wheel/*.whl \
    && /opt/build/bin/cyclonedx-py environment --output-reproducible --of JSON -o /sbom.cdx.json /opt/venv/bin/python

FROM ${BASE}
# An init as pid 1: it passes signals on and reaps children, and no signal is lost while Python itself starts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
# A number, not only a name: Kubernetes' runAsNonRoot checks numbers only.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin logwarden
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=materials /sbom.cdx.json /usr/share/sbom/logwarden.cdx.json
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel --mount=type=bind,from=wheel,source=/opt/build,target=/opt/build \
    /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-index --no-deps /wheel/*.whl
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    LOGWARDEN_HTTP__HOST=0.0.0.0
USER 10001:10001
WORKDIR /
EXPOSE 8080
# For plain Docker and compose; an orchestrator has probes of its own. Python, because a slim image has no curl. Without
# HTTP (port none) or at a port that the system chooses (0) there is nothing to ask, and the process being there must do.
# The arguments of pid 1, the init, tell whether the bridge runs, which has a port of its own, or the server for agents.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import http.client as h, os; \
words = open('/proc/1/cmdline', 'rb').read().split(b'\\0'); \
b'mcp' in words and os._exit(0); \
name, usual = ('BRIDGE__HTTP_PORT', '8081') if b'bridge' in words else ('HTTP__PORT', '8080'); \
port = os.environ.get('LOGWARDEN_' + name, '').strip().lower() or usual; \
port in ('none', '0') and os._exit(0); \
c = h.HTTPConnection('127.0.0.1', int(port), timeout=4); \
c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# -e: a signal in the first instants ends Python by the signal, 128 + 15. Nothing is open then, so that is success.
ENTRYPOINT ["tini", "-e", "143", "--", "logwarden"]
CMD ["run"]
