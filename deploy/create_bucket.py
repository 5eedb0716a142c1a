"""Creates the bucket of the lake where it is missing. Runs in the image, through the connection that the tasks use."""

from __future__ import annotations

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from include.orchestration.settings import read_settings
from include.orchestration.stores import CONNECTION


def main() -> None:
    """Creates the bucket, or finds it there; fails where the connection's keys are refused."""
    hook = S3Hook(aws_conn_id=CONNECTION)
    bucket = read_settings().bucket
    if not hook.check_for_bucket(bucket):
        hook.create_bucket(bucket_name=bucket)


if __name__ == "__main__":
    main()
