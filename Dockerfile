# One image for every Airflow service. Two builds of it, told apart by ACCELERATOR:
#   cpu   the lock of the project; TensorFlow computes on the CPU
#   gpu   the same, and NVIDIA's CUDA libraries on top. TensorFlow's Linux wheel has its GPU code in either case and
#         looks for those libraries when it starts, so nothing below that layer differs. The host brings the driver.
FROM apache/airflow:3.3.2-python3.12

# Longest to build, rarest to change: first. pip compiles byte code here, or every task would compile TensorFlow anew.
# Every package is pinned with its hashes, Airflow itself too, so pip neither up- nor downgrades it behind our back.
WORKDIR /opt/airflow
COPY requirements.txt ./
RUN pip install --no-cache-dir --compile --require-hashes --requirement requirements.txt

# requirements-gpu.txt is tensorflow[and-cuda] locked under requirements.txt as constraint: what both name has one version.
ARG ACCELERATOR=cpu
COPY requirements-gpu.txt ./
RUN case "$ACCELERATOR" in \
      cpu) ;; \
      gpu) pip install --no-cache-dir --compile --require-hashes --requirement requirements-gpu.txt ;; \
      *) echo "ACCELERATOR: expected cpu or gpu, got '$ACCELERATOR'" >&2; exit 1 ;; \
    esac

# The code belongs to root and is readable by all, whatever the umask of the checkout: a task cannot rewrite it.
USER root
COPY deploy/create_bucket.py deploy/
COPY include/ include/
COPY plugins/ plugins/
COPY dags/ dags/
RUN chown -R root:root deploy include plugins dags \
 && chmod -R u=rwX,go=rX deploy include plugins dags \
 && python -m compileall -q deploy include plugins dags

# The airflow user of the base image, by number so that a platform can see that it is not root.
USER 50000:0
ENV PYTHONPATH=/opt/airflow \
    AIRFLOW__CORE__LOAD_EXAMPLES=false
