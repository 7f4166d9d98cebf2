# Two images from one file:
#   docker build .                      the service: no torch, no compiler, not root (the default)
#   docker build --target training .    training, with torch for the CPU

FROM python:3.11-slim AS base
# ONNX Runtime reports to its maker from 1.29 on, unless this stands before it is imported.
ENV ORT_DISABLE_TELEMETRY=1
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin chorus \
    && install -d -o chorus -g chorus /bundles


FROM base AS service-packages
# For the heads' kernel alone; the service's image copies what was compiled.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml service.lock README.md ./
COPY model_store model_store
COPY app app
# tokenizers asks for the Hugging Face client, which only its downloads use: the service reads local files.
RUN python -m venv --without-pip /opt/chorus \
    && pip --python /opt/chorus/bin/python install --no-deps --require-hashes -r service.lock \
    && pip --python /opt/chorus/bin/python install --no-deps --no-build-isolation . \
    && pip --python /opt/chorus/bin/python uninstall --yes setuptools huggingface_hub hf-xet httpx2 httpcore2 truststore fsspec filelock tqdm PyYAML \
    && rm /opt/chorus/bin/chorus-train \
    && rm -f /opt/chorus/lib/python3.*/site-packages/model_store/kernel.[ci]* \
    && /opt/chorus/bin/python -I -c 'import model_store._kernel' \
    && find /opt/chorus -depth -type d -name tests -exec rm -rf {} +


FROM base AS training
ARG TORCH=https://download.pytorch.org/whl/cpu/torch/
WORKDIR /source
COPY constraints.txt ./
RUN pip install --retries 0 --find-links "$TORCH" -c constraints.txt torch
COPY pyproject.toml README.md ./
COPY model_store model_store
COPY app app
COPY training training
RUN pip install -c constraints.txt '.[train]'
WORKDIR /chorus
RUN install -d -o chorus -g chorus /chorus
USER 10001
VOLUME ["/bundles", "/chorus"]
ENTRYPOINT ["chorus-train"]
CMD ["--help"]


FROM base AS service
COPY --from=service-packages /opt/chorus /opt/chorus
ENV PATH=/opt/chorus/bin:$PATH \
    CHORUS_HOST=0.0.0.0 \
    CHORUS_PORT=8000 \
    CHORUS_STORE=/bundles \
    CHORUS_LOG_FORMAT=json
USER 10001
EXPOSE 8000
VOLUME ["/bundles"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
CMD ["chorus-serve", "serve"]
