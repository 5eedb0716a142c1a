"""The pipeline's servers on one machine, without containers: an S3 server, PostgreSQL and Airflow, all on loopback."""
