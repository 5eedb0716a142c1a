from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from include.retraining.command_line import gates, models
from include.retraining.command_line import main as command
from include.retraining.command_line.environment import classifiers_directory, store_from
from include.retraining.command_line.main import main
from include.retraining.config import DIRECTORY
from include.retraining.errors import ConfigurationError, StorageUnavailableError
from tests.builders import make_config
from tests.recipes import write_recipe

ENVIRONMENT = {
    "RETRAIN_BUCKET": "images",
    "RETRAIN_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


def test_an_unknown_classifier_is_an_error_that_names_the_known_ones(store, capsys):
    assert main(["models", "list", "birds"]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "birds.yaml: there is no such classifier. Write the file, or name one of: flowers" in captured.err


@pytest.mark.parametrize(
    ("arguments", "expected"), [([], ["flowers", "trees"]), (["--classifier", "trees"], ["trees"])]
)
def test_a_run_is_explained_among_all_classifiers_unless_one_is_named(
    store, tmp_path, monkeypatch, arguments, expected
):
    write_recipe(tmp_path, make_config("trees"))
    asked: list[object] = []

    def explain(parsed: argparse.Namespace, found: object, classifiers: object) -> int:
        asked.extend([parsed.run, found, classifiers])
        return 0

    monkeypatch.setattr(gates, "explain", explain)

    assert main(["gates", "explain", "a-run", *arguments]) == 0
    assert asked == ["a-run", store, expected]


def test_a_run_of_an_unknown_classifier_is_not_looked_for(store, capsys):
    assert main(["gates", "explain", "a-run", "--classifier", "birds"]) == 1
    assert "birds.yaml: there is no such classifier" in capsys.readouterr().err


def test_without_a_bucket_the_variable_and_the_command_that_sets_it_are_named(monkeypatch, capsys):
    assert main(["models", "list", "fashion_mnist"]) == 1
    assert 'RETRAIN_BUCKET: it is not set. Set the variables of .env.example; for the embedded stack: eval "$(make' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "error", [StorageUnavailableError("get s3://memory/a", "timeout"), ConfigurationError("a.yaml", "wrong", "mend it")]
)
def test_an_error_is_one_line_on_standard_error_and_status_1(store, monkeypatch, capsys, error):
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(models, "list_versions", fail)

    assert main(["models", "list", "flowers"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {error}\n")


def test_an_interrupted_command_says_how_to_go_on(store, monkeypatch, capsys):
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "list_versions", interrupt)

    assert main(["models", "list", "flowers"]) == 130
    assert "the same command takes up where it stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["models"], "VERB"),
        (["models", "list"], "CLASSIFIER"),
        (["models", "delete", "flowers"], "invalid choice: 'delete'"),
        (["run", "flowers"], "--from"),
        (["run", "flowers", "--from", "5 January"], "expected a day such as 2026-01-05, got '5 January'"),
        (["intake", "flowers"], "DAY"),
        (["intake", "flowers", "today"], "expected a day such as 2026-01-05, got 'today'"),
        (["quarantine", "flowers"], "DAY"),
        (["release", "flowers", "2026-01-05", "--corrections", "a.csv"], "--to"),
        (["release", "flowers", "2026-01-05", "--to", "2026-01-06"], "--corrections"),
        (["gates"], "VERB"),
        (["gates", "explain"], "RUN"),
        (["models", "diff", "flowers", "20260103T0200-aaaaaaaaaaaa"], "VERSION"),
        (["models", "promote", "flowers", "--reason", "it is good"], "VERSION"),
        (["models", "promote", "flowers", "20260103T0200-aaaaaaaaaaaa"], "--reason"),
        (["models", "rollback", "flowers"], "--reason"),
        (["models", "rollback", "flowers", "--reason", " "], "expected a few words, got none"),
    ],
)
def test_wrong_usage_is_status_2_with_what_is_wrong(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["intake", "--help"],
        ["quarantine", "--help"],
        ["release", "--help"],
        ["models", "--help"],
        ["models", "list", "--help"],
        ["models", "rollback", "--help"],
        ["models", "gc", "--help"],
        ["gates", "explain", "--help"],
    ],
)
def test_every_command_has_help(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 0
    assert "usage: python -m include.retraining" in capsys.readouterr().out


def test_the_store_is_the_one_that_the_variables_name():
    store = store_from(ENVIRONMENT)

    assert store.bucket == "images"
    client = store._client
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:9", "eu-central-1")
    assert client._request_signer._credentials.access_key == "a-key"


@pytest.mark.parametrize("variable", ["RETRAIN_S3_ENDPOINT_URL", "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("absent", [True, False])
def test_without_an_address_the_store_is_aws_and_without_a_region_the_region_is_the_usual_one(variable, absent):
    environment = {**ENVIRONMENT, variable: ""}
    if absent:
        del environment[variable]

    meta = store_from(environment)._client.meta

    expected = {"RETRAIN_S3_ENDPOINT_URL": ".amazonaws.com", "AWS_DEFAULT_REGION": "us-east-1"}[variable]
    assert expected in f"{meta.endpoint_url} {meta.region_name}"


@pytest.mark.parametrize("bucket", [{}, {"RETRAIN_BUCKET": ""}])
def test_a_store_without_a_bucket_is_refused(bucket):
    with pytest.raises(ConfigurationError, match="RETRAIN_BUCKET"):
        store_from({**dict(list(ENVIRONMENT.items())[1:]), **bucket})


def test_the_recipes_are_the_projects_own_unless_a_folder_is_named(monkeypatch, tmp_path):
    assert classifiers_directory() == DIRECTORY
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", "")
    assert classifiers_directory() == DIRECTORY
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    assert classifiers_directory() == tmp_path


def test_looking_at_models_loads_no_library_that_trains():
    program = (
        "import sys; from include.retraining.command_line.main import main; main(['models', 'list', 'fashion_mnist']); "
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'great_expectations', 'pandas'} & set(sys.modules)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=command.__file__.split("/include/")[0],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "[]\n"
    assert "RETRAIN_BUCKET" in ran.stderr
