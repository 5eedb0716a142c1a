"""Retrains classifiers of imbalanced images: one package a stage, and no knowledge of Airflow.

Start reading at `steps.py`, which has one public function a task.
"""
