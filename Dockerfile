# boxseg with everything it needs, for processors; or for NVIDIA GPUs:
#
#     docker build -t boxseg .
#     docker build -t boxseg:cuda --build-arg TORCH=cuda .
#
#     docker run --rm -v "$PWD/runs:/work/runs" boxseg                                    # the demo
#     docker run --rm --network none -v "$PWD:/work" boxseg label photos out=masks        # your photos, offline
#     docker run --rm --gpus all -v "$PWD:/work" boxseg:cuda run photos out=runs/first
#
# The files that it writes belong to the user who runs it: add --user "$(id -u):$(id -g)".
FROM python:3.11-slim AS build

# cpu: a build of torch of 0.2 GB. cuda: the one on PyPI, with NVIDIA's libraries.
ARG TORCH=cpu
# The compiler is for the fast path of the CRF; the image that is run has none.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/boxseg
ENV PATH=/opt/boxseg/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
RUN if [ "$TORCH" = cpu ]; then extra="--index-url https://download.pytorch.org/whl/cpu"; fi \
    && pip install --no-cache-dir -c constraints.txt $extra torch
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/boxseg /opt/boxseg
ENV PATH=/opt/boxseg/bin:$PATH \
    PYTHONUNBUFFERED=1
# Any user may run it: what libraries keep goes to a folder that all may write to.
ENV HOME=/tmp
WORKDIR /work
RUN chmod 777 /work
ENTRYPOINT ["boxseg"]
CMD ["demo", "out=runs/demo"]
